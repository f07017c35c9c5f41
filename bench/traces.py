"""Traces of pulls: made up from a seed after published characteristics, or read from a file.

A trace is a list of (seconds, blob, bytes), in the order of time.

What the made-up ones go by: Anwar et al., "Improving Docker Registry Design based on Production
Workload Analysis" (FAST 2018): about 65 % of layers are smaller than 1 MB and 80 % smaller than
10 MB, and a few layers draw most requests. Pulls ask for a manifest each, and for those layers only
that the client has not got; images share base layers; a new version replaces an image's upper
layers and is rolled out to many nodes within minutes; builders start empty again and again; from
time to time something pulls everything once.
"""

import datetime
import heapq
import json
import math

KB, MB, GB = 10**3, 10**6, 10**9
DAY = 86400


def log_uniform(chance, low, high):
    return int(math.exp(chance.uniform(math.log(low), math.log(high))))


def layer_size(chance):
    draw = chance.random()
    if draw < 0.65:
        return max(100, min(MB - 1, int(chance.lognormvariate(math.log(40 * KB), 1.8))))
    for share, low, high in ((0.8, MB, 10 * MB), (0.955, 10 * MB, 100 * MB), (0.997, 100 * MB, GB)):
        if draw < share:
            return log_uniform(chance, low, high)
    return log_uniform(chance, GB, 4 * GB)


def zipf(count, exponent):
    """Cumulative weights of ranks."""
    total, sums = 0.0, []
    for rank in range(1, count + 1):
        total += rank ** -exponent
        sums.append(total)
    return sums


class Model:
    def __init__(self, chance, name, days):
        self.chance, self.name, self.end, self.blobs, self.trace = chance, name, days * DAY, 0, []

    def blob(self, size):
        self.blobs += 1
        return f"{self.name}{self.blobs}", size

    def layers(self, count):
        return [self.blob(layer_size(self.chance)) for _ in range(count)]

    def again(self, layers):
        """As they are in the next version: other bytes, about as many."""
        return [self.blob(int(size * self.chance.uniform(0.9, 1.1)) + 1) for _, size in layers]

    def sorted(self):
        return sorted(self.trace, key=lambda row: row[0])


class Services(Model):
    """Ordinary images: builders, nodes that keep what they pulled, roll-outs, and scans of everything."""

    PULLS_A_DAY, IMAGES, BASES, NODES, SCANS, SCANNED = 700, 1500, 40, 120, 4, 800

    def __init__(self, chance, days):
        super().__init__(chance, "s", days)
        self.base_weights, self.weights = zipf(self.BASES, 1.0), zipf(self.IMAGES, 0.95)
        self.bases = [self.new_base() for _ in range(self.BASES)]
        self.images = [self.new_image() for _ in range(self.IMAGES)]
        self.nodes = [set() for _ in range(self.NODES)]
        self.rollouts, self.tie = [], 0

    def new_base(self):
        system = self.blob(log_uniform(self.chance, 20 * MB, 150 * MB))
        return [system, *self.layers(self.chance.randrange(3))]

    def new_image(self):
        chance = self.chance
        image = {"base": chance.choices(range(self.BASES), cum_weights=self.base_weights)[0], "versions": [],
                 "middle": self.layers(chance.randrange(1, 5)), "top": self.layers(chance.randrange(1, 6))}
        self.publish(image)
        return image

    def publish(self, image):
        chance = self.chance
        if image["versions"]:
            image["top"] = self.again(image["top"])
            if chance.random() < 0.15:
                image["middle"] = self.again(image["middle"])
        manifest, config = self.blob(chance.randrange(500, 6000)), self.blob(chance.randrange(1500, 12000))
        layers = [config, *self.bases[image["base"]], *image["middle"], *image["top"]]
        image["versions"].append((manifest, layers))

    def pull(self, time, version, held):
        """`held` is what the client has got, and adds to; None: it starts empty."""
        (name, size), layers = version
        self.trace.append((time, name, size))
        for name, size in layers:
            if held is None or name not in held:
                self.trace.append((time, name, size))
            if held is not None:
                held.add(name)

    def roll_out(self, time, image, count):
        for _ in range(count):
            self.tie += 1
            when = time + self.chance.uniform(10, 600)
            heapq.heappush(self.rollouts, (when, self.tie, image["versions"][-1], self.chance.choice(self.nodes)))

    def something(self, time):
        chance = self.chance
        rank = chance.choices(range(self.IMAGES), cum_weights=self.weights)[0]
        image, draw = self.images[rank], chance.random()
        back = 0 if chance.random() < 0.85 else int(chance.expovariate(0.2))
        version = image["versions"][max(-1 - back, -len(image["versions"]))]
        if draw < 0.03:
            if chance.random() < 0.01:
                self.bases[image["base"]] = self.new_base()
            self.publish(image)
            self.roll_out(time, image, int(chance.uniform(0, 25) / (1 + rank / 20)))
        elif draw < 0.5:  # a builder; half of them come with the base
            self.pull(time, version, {name for name, _ in self.bases[image["base"]]} if draw < 0.265 else None)
        elif draw < 0.95:
            node = chance.choice(self.nodes)
            if chance.random() < 0.01:
                node.clear()
            self.pull(time, version, node)
        else:
            self.trace.append((time, *version[0]))

    def run(self):
        chance, time = self.chance, 0.0
        scans = sorted(chance.uniform(self.end / 6, self.end) for _ in range(self.SCANS))
        while time < self.end:
            time += chance.expovariate(self.PULLS_A_DAY / DAY * (1 + 0.8 * math.sin(2 * math.pi * time / DAY)))
            while self.rollouts and self.rollouts[0][0] <= time:
                when, _, version, node = heapq.heappop(self.rollouts)
                self.pull(when, version, node)
            while scans and scans[0] <= time:
                scans.pop(0)
                for _ in range(self.SCANNED):
                    self.pull(time, chance.choice(chance.choice(self.images)["versions"]), None)
            self.something(time)
        return self.sorted()


class Models(Model):
    """Models with layers of 1 to 60 GB for nodes with GPUs; some are tried out once, never to come again."""

    PULLS_A_DAY, MODELS, NODES, NODE_BYTES = 110, 120, 48, 1500 * GB

    def __init__(self, chance, days):
        super().__init__(chance, "m", days)
        self.bases = [[self.blob(log_uniform(chance, *sizes)) for sizes in (
            (30 * MB, 80 * MB), (800 * MB, 6 * GB), (200 * MB, 4 * GB), (10 * KB, 5 * MB))] for _ in range(12)]
        self.models = [self.new_model() for _ in range(self.MODELS)]
        self.weights = zipf(self.MODELS, 0.9)
        self.nodes = [{} for _ in range(self.NODES)]

    def new_model(self):
        chance = self.chance
        total = min(300 * GB, max(GB, int(chance.lognormvariate(math.log(14 * GB), 1.1))))
        parts = max(1, round(total / GB / chance.choice((2, 5, 5, 10, 60))))
        head = [self.blob(chance.randrange(500, 9000)), self.blob(chance.randrange(1500, 12000))]
        small = [self.blob(log_uniform(chance, 2 * KB, 8 * MB)) for _ in range(chance.randrange(2, 7))]
        return [*head, *chance.choice(self.bases), *small,
                *(self.blob(min(60 * GB, total // parts)) for _ in range(parts))]

    def pull(self, time, model, node):
        for number, (name, size) in enumerate(model):
            if number == 0 or name not in node:
                self.trace.append((time, name, size))
            node.pop(name, None)
            node[name] = size
        while sum(node.values()) > self.NODE_BYTES:
            node.pop(next(iter(node)))

    def run(self):
        chance, time = self.chance, 0.0
        while time < self.end:
            time += chance.expovariate(self.PULLS_A_DAY / DAY)
            draw = chance.random()
            if draw < 0.015:
                self.pull(time, self.new_model(), {})
            elif draw < 0.025:  # a new one, at some rank
                self.models.insert(int(chance.random() ** 2 * self.MODELS), self.new_model())
                self.models.pop()
            else:
                model = chance.choices(self.models, cum_weights=self.weights)[0]
                for _ in range(1 if chance.random() < 0.8 else chance.randrange(2, 9)):
                    self.pull(time + chance.uniform(0, 60), model, chance.choice(self.nodes))
        return self.sorted()


def services(chance, days):
    return Services(chance, days).run()


def models(chance, days):
    return Models(chance, days).run()


def both(chance, days):
    return sorted(services(chance, days) + models(chance, days), key=lambda row: row[0])


# name: (what it is, how it is made)
MODELS = {
    "services": ("ordinary images", services),
    "models": ("models of 1 to 300 GB", models),
    "both": ("both in one cache", both),
}


# ---- files ----

def of_log(line):
    """A line of Entrepot's own log: a row of the trace, or None when it is not a pull that was answered."""
    event = json.loads(line)
    if event.get("event") != "request" or event.get("method") != "GET" or not event.get("bytes"):
        return None
    if event.get("kind") not in ("blob", "manifest") or event.get("status") not in (200, 206):
        return None
    name = event["reference"]
    if event["kind"] == "manifest" and ":" not in name:  # a tag
        name = f"{event['upstream']}/{event['repository']}:{name}"
    time = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
    return time, name, event["bytes"]


def of_words(line):
    time, name, size = line.split()
    return float(time), name, int(size)


def read(file):
    """Lines of Entrepot's log (JSON), or lines of three words: seconds, a digest, bytes."""
    rows = []
    for number, line in enumerate(file, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            rows.append(of_log(line) if line.startswith("{") else of_words(line))
        except (ValueError, KeyError) as error:
            raise ValueError(f"line {number} is neither \"seconds digest bytes\" nor a line of Entrepot's "
                             f"log: {error}") from error
    return sorted((row for row in rows if row), key=lambda row: row[0])
