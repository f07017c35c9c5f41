#include "model/catalogs.h"

#include <string.h>

#include "base/check.h"
#include "base/small_file.h"

static enum err read_file(struct catalog *catalog, const struct config *config, const char *path,
                          enum catalog_kind kind, struct buf *ret_problem)
{
    struct buf text = {0};

    enum err err = small_file_read(path, CATALOG_FILE_MAX, &text, ret_problem);
    if (err == OK)
        err = catalog_read_text(catalog, config, view_of_buf(&text), path, kind, ret_problem);
    buf_release(&text);
    return err;
}

enum err catalogs_read(const struct config *config, struct catalog **ret_catalog,
                       struct buf *ret_problem)
{
    struct catalog *catalog = catalog_new();
    enum err err = OK;

    if (config->file != NULL)
        err = read_file(catalog, config, config->file, CATALOG_CONFIG, ret_problem);
    if (err == OK && config->catalog[0] != '\0')
        err = read_file(catalog, config, config->catalog, CATALOG_ITSELF, ret_problem);
    if (err == OK)
        *ret_catalog = catalog;
    else
        catalog_unref(catalog);
    return err;
}

void catalogs_init(struct catalogs *catalogs, struct catalog *catalog)
{
    *catalogs = (struct catalogs){.current = catalog};
    CHECK(pthread_mutex_init(&catalogs->mutex, NULL) == 0);
}

void catalogs_release(struct catalogs *catalogs)
{
    catalog_unref(catalogs->current);
    CHECK(pthread_mutex_destroy(&catalogs->mutex) == 0);
    *catalogs = (struct catalogs){0};
}

void catalogs_set(struct catalogs *catalogs, struct catalog *catalog)
{
    pthread_mutex_lock(&catalogs->mutex);
    struct catalog *former = catalogs->current;
    catalogs->current = catalog;
    pthread_mutex_unlock(&catalogs->mutex);
    catalog_unref(former);
}

struct catalog *catalogs_get(struct catalogs *catalogs)
{
    pthread_mutex_lock(&catalogs->mutex);
    struct catalog *catalog = catalog_ref(catalogs->current);
    pthread_mutex_unlock(&catalogs->mutex);
    return catalog;
}
