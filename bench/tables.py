"""Markdown tables of what bench/run measured."""


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(ours, others, better):
    """How we stand to the best of the others; `better` is max or min."""
    if ours is None or not others or not better(others):
        return "–"
    return f"{ours / better(others):.2f}"


def hit_rows(text, by_server, names, peers, counts_requests, unit):
    """Four rows of the table: speed, both sides' processor time, first bytes."""
    def cells(value, form):
        return [form.format(value(by_server[name])) for name in names]

    def standing(value, better):
        ours = value(by_server["entrepot"]) if "entrepot" in by_server else None
        return ratio(ours, [value(by_server[name]) for name in names if name in peers], better)

    def speed(row):
        return row["requests_per_second"] if counts_requests else row["gb_per_second"]

    def cpu(row):
        return row["server_cpu_per_unit"]

    def both(row):
        return row["server_cpu_per_unit"] + row["client_cpu_per_unit"]

    def first(row):
        return row["first_byte_ms"]["p99"]

    yield [text, "req/s" if counts_requests else "GB/s",
           *cells(speed, "{:,.0f}" if counts_requests else "{:.2f}"), standing(speed, max)]
    yield ["", f"server's CPU s per {unit}", *cells(cpu, "{:.3f}"), standing(cpu, min)]
    yield ["", f"with the client's, per {unit}", *cells(both, "{:.3f}"), standing(both, min)]
    yield ["", "first byte p99, ms", *cells(first, "{:.2f}"), standing(first, min)]


def hits(results, scenarios, labels, peers):
    names = list(next(iter(results["scenarios"].values())))
    rows = []
    for scenario, by_server in results["scenarios"].items():
        text, _, size, wanted = scenarios[scenario]
        rows += hit_rows(text, by_server, names, peers, wanted != "blob" or 0 < size < 1 << 20,
                         "GB" if wanted == "blob" else "100k requests")
    for text, field in (("memory at the end", "pss_mb"), ("", "peak_rss_mb")):
        what = "MiB, shared pages once" if field == "pss_mb" else "MiB, sum of peaks"
        memory = {name: results["memory"][name][field] for name in names}
        rows.append([text, what, *(f"{memory[name]:.0f}" for name in names),
                     ratio(memory.get("entrepot"), [memory[one] for one in names if one in peers],
                           min)])
    settings = results["settings"]
    head = ["scenario", "", *(labels[name] for name in names), "Entrepot ÷ best of the others"]
    return (f"Cached hits; medians of {settings['rounds']} interleaved rounds of "
            f"{settings['seconds']:g} s; {results['machine']['cores']} cores, "
            f"{results['machine']['congestion_control']}; access logs off unless said.\n\n" + markdown(head, rows))


def misses(results, scenarios, labels):
    rows = []
    for scenario, by_server in results["scenarios"].items():
        text = scenarios[scenario][0]
        for name, row in by_server.items():
            rows.append([text, labels[name], f"{row['ok']:g} of {row['clients']:g}",
                         f"{row['upstream_bytes_per_blob']:.3f}", f"{row['upstream_requests']:g}",
                         f"{row['leader_first_byte_ms']:.1f}",
                         f"{row['follower_lag_ms_median']:.1f}",
                         f"{row['follower_lag_ms_worst']:.1f}", f"{row['total_seconds']:.2f}",
                         f"{row['server_cpu_seconds']:.2f}", f"{row['peak_rss_mb']:.0f}"])
            text = ""
    head = ["cold blob", "", "whole answers", "upstream bytes ÷ blob", "upstream requests",
            "leader's first byte, ms", "followers' first byte after that, ms: median", "worst",
            "all done, s", "server's CPU s", "peak memory, MiB"]
    settings = results["settings"]
    return (f"Cold blobs of {settings['blob_size'] / (1 << 30):g} GiB; paced: "
            f"{settings['rate'] / 1e6:g} MB/s a response; medians of {settings['rounds']}.\n\n" +
            markdown(head, rows))
