/* Any text as a catalog: it is refused with one line; or printing it and reading that gives the
 * same again, and a commit that can be replaced is, and nothing else. */
#include "wire/catalog_edit.h"

#include <string.h>

#include "base/check.h"
#include "wire/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config config;

static void set_up(void)
{
    if (config.upstream_count > 0)
        return;
    config_init(&config);
    CHECK(config_find_upstream(&config, VIEW("hf")) >= 0);
}

static struct catalog *read_text(struct view text, enum catalog_kind kind, struct buf *problem)
{
    struct catalog *catalog = catalog_new();

    if (catalog_read_text(catalog, &config, text, "fuzz.yaml", kind, problem) == OK)
        return catalog;
    return catalog_unref(catalog);
}

/* Replaces each commit, one by one. */
static void edit(struct view text, const struct catalog *catalog)
{
    struct catalog_edit edit = {0};
    struct buf edited = {0}, problem = {0};

    memset(edit.commit, '7', sizeof(edit.commit) - 1);
    for (size_t i = 0; i < catalog->count && i < 10; i++) {
        edit.model = &catalog->models[i];
        if (!catalog_edit_is_possible(text, edit.model))
            continue;
        buf_clear(&edited);
        catalog_edit(text, &edit, 1, &edited);
        CHECK(edited.length == text.length);
        struct catalog *after = read_text(view_of_buf(&edited), CATALOG_CONFIG, &problem);
        CHECK(after != NULL && after->count == catalog->count);
        for (size_t j = 0; j < after->count; j++) {
            const struct catalog_model *model = &after->models[j];
            CHECK(strcmp(model->revision, i == j ? edit.commit : catalog->models[j].revision) == 0);
            CHECK(strcmp(model->filter, catalog->models[j].filter) == 0);
        }
        catalog_unref(after);
    }
    buf_release(&edited);
    buf_release(&problem);
}

static void print_again(const struct catalog *catalog)
{
    struct buf first = {0}, second = {0}, problem = {0};

    catalog_print(catalog, "fuzz.yaml", &first);
    struct catalog *again = read_text(view_of_buf(&first), CATALOG_ITSELF, &problem);
    CHECK(again != NULL);
    catalog_print(again, "fuzz.yaml", &second);
    CHECK(view_equal(view_of_buf(&first), view_of_buf(&second)));
    catalog_unref(again);
    buf_release(&first);
    buf_release(&second);
    buf_release(&problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, size};
    struct buf problem = {0};

    set_up();
    struct catalog *catalog = read_text(text, CATALOG_CONFIG, &problem);
    if (catalog == NULL) {
        CHECK(problem.length > 0 && memchr(problem.data, '\n', problem.length) == NULL);
    } else {
        for (size_t i = 0; i < catalog->count; i++) {
            const struct catalog_model *model = &catalog->models[i];
            CHECK(catalog_find(catalog, model->upstream->name, model->repository, model->tag) ==
                  model);
            (void)filter_takes(model->filter, text);
        }
        edit(text, catalog);
        print_again(catalog);
        catalog_unref(catalog);
    }
    buf_release(&problem);
    return 0;
}
