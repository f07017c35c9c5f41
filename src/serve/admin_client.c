#include "serve/admin_client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "serve/scrub_report.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    SILENCE_S = 300, /* a body of 64 MiB may be checked for a while */
};

static size_t on_answer(char *data, size_t one, size_t length, void *argument)
{
    struct admin_client *client = argument;

    (void)one;
    if (length > client->limit - client->answer.length)
        return 0;
    buf_append(&client->answer, data, length);
    return length;
}

bool admin_client_open(struct admin_client *client, const struct config *config, size_t limit,
                       struct buf *problem)
{
    *client = (struct admin_client){.config = config, .limit = limit};
    client->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (client->curl == NULL) {
        buf_append_text(problem, "libcurl cannot be used");
        return false;
    }
    (void)curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_answer);
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
    return true;
}

void admin_client_close(struct admin_client *client)
{
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    buf_release(&client->answer);
}

bool admin_client_ask(struct admin_client *client, const char *method, const char *target,
                      struct view body, struct buf *reason)
{
    /* Nobody answers 100 Continue, and curl would wait a second for it. */
    struct curl_slist *fields = curl_slist_append(NULL, "Expect:");
    struct buf url = {0};

    buf_clear(&client->answer);
    client->status = 0;
    buf_printf(&url, "http://%s%s", client->config->admin, target);
    (void)curl_easy_setopt(client->curl, CURLOPT_URL, url.data);
    (void)curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, fields);
    if (strcmp(method, "POST") == 0) {
        (void)curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
        (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.length == 0 ? "" : body.data);
    } else {
        (void)curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    }
    CURLcode code = curl_easy_perform(client->curl);
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &client->status);
    (void)curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(fields);
    buf_release(&url);
    if (code != CURLE_OK)
        buf_append_text(reason, curl_easy_strerror(code));
    return code == CURLE_OK;
}

bool admin_client_read_error(const struct admin_client *client, struct buf *out)
{
    json_t *root = json_loadb(client->answer.data, client->answer.length, 0, NULL);
    const char *message = NULL;

    bool good =
        root != NULL && json_unpack(root, "{s:[{s:s}]}", "errors", "message", &message) == 0;
    if (good)
        buf_append_text(out, message);
    json_decref(root);
    return good;
}

bool admin_client_shares_cache(struct admin_client *client, struct buf *problem)
{
    int fd = open(client->config->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char ours[SCRUB_DIRECTORY_SIZE], theirs[SCRUB_DIRECTORY_SIZE];
    struct scrub_report report;
    struct buf reason = {0};

    scrub_directory(fd, ours);
    if (fd >= 0)
        close(fd);
    if (!admin_client_ask(client, "GET", "/scrub", VIEW(""), &reason))
        buf_printf(problem,
                   "%s is in use by another Entrepot, which does not answer at %s (%s); give its "
                   "admin address (--admin or --config)",
                   client->config->cache, client->config->admin, reason.data);
    else if (client->status != 200 ||
             !scrub_report_parse(view_of_buf(&client->answer), &report, theirs))
        buf_printf(problem,
                   "what answers at %s is no Entrepot's admin address (status %ld); give that of "
                   "the one that uses %s (--admin or --config)",
                   client->config->admin, client->status, client->config->cache);
    else if (strcmp(ours, theirs) != 0)
        buf_printf(problem,
                   "the Entrepot that answers at %s uses another cache than %s; give the admin "
                   "address of the one that does (--admin or --config)",
                   client->config->admin, client->config->cache);
    buf_release(&reason);
    return problem->length == 0;
}
