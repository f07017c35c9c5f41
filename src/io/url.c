#include "io/url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

bool url_same_authority(const char *a, const char *b)
{
    const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    const char *const urls[] = {a, b};
    CURLU *handles[2] = {curl_url(), curl_url()};
    bool same = true;

    for (size_t i = 0; i < 2; i++)
        same = same && curl_url_set(handles[i], CURLUPART_URL, urls[i], 0) == CURLUE_OK;
    for (size_t p = 0; p < 3 && same; p++) {
        char *texts[2] = {NULL, NULL};
        for (size_t i = 0; i < 2; i++)
            same = same &&
                   curl_url_get(handles[i], parts[p], &texts[i], CURLU_DEFAULT_PORT) == CURLUE_OK;
        same = same && strcasecmp(texts[0], texts[1]) == 0;
        curl_free(texts[0]);
        curl_free(texts[1]);
    }
    curl_url_cleanup(handles[0]);
    curl_url_cleanup(handles[1]);
    return same;
}

char *url_resolve(const char *base, struct view location)
{
    if (location.length == 0)
        return NULL;
    char *text = view_dup(location), *url = NULL, *copy = NULL;
    CURLU *handle = curl_url();

    if (curl_url_set(handle, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(handle, CURLUPART_URL, text, CURLU_URLENCODE) == CURLUE_OK &&
        curl_url_get(handle, CURLUPART_URL, &url, 0) == CURLUE_OK &&
        (strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0))
        copy = check_strdup(url);
    curl_free(url);
    curl_url_cleanup(handle);
    free(text);
    return copy;
}
