// The panel beside the map: everything about one image.

import { json, lines } from "./api.js";

const byId = (id) => document.getElementById(id);
const STEPS = 30;
const FRAME = 250; // milliseconds between two images of a daydream that is played again

export class Panel {
  // `page`: {image(key), caption(key), pick(key), hover(key or null), rings(keys), dreamt(places), fail(error)}
  constructor(page) {
    this.page = page;
    this.stop = new AbortController();
    byId("reconstruct").addEventListener("click", () => this.reconstruct());
    byId("dream").addEventListener("click", () => (this.dreaming ? this.wake() : this.dream()));
  }

  // Shows the image `key`; resolves when the nearest codes are there, false when another image was picked meanwhile.
  async show(key) {
    this.close();
    const { signal } = (this.stop = new AbortController());
    this.key = key;
    const item = await json(`/api/item/${key}`, { signal });
    if (signal.aborted) return null;
    byId("empty").hidden = true;
    byId("item").hidden = false;
    byId("picture").src = this.page.image(key);
    byId("picture").alt = this.page.caption(key);
    byId("name").textContent = this.page.caption(key);
    byId("facts").textContent = item.file ?? "";
    byId("done").textContent = item.done ? `Your image: ${item.done.join(", ") || "taken as it is"}.` : "";
    byId("invert").hidden = !item.done;
    bars(byId("code"), item.code);
    this.strip("by_code", item.by_code);
    waiting(byId("by_pixels"));
    byId("reconstructions").replaceChildren();
    byId("frames").replaceChildren();
    byId("dream_seed").textContent = "";
    byId("stage").src = this.page.image(key);
    byId("stage").alt = "Start of the daydream";
    json(`/api/item/${key}/pixels`, { signal })
      .then(({ by_pixels }) => this.strip("by_pixels", by_pixels))
      .catch((error) => this.failed(error, signal));
    this.reconstruct();
    return item;
  }

  close() {
    this.stop.abort();
    this.wake();
    clearInterval(this.player);
    this.key = null;
    byId("item").hidden = true;
    byId("empty").hidden = false;
  }

  strip(id, found) {
    byId(id).replaceChildren(
      ...found.map(([key, distance]) => {
        const button = document.createElement("button");
        const words = `${this.page.caption(key)}, distance ${distance.toPrecision(3)}`;
        button.type = "button";
        button.title = words;
        button.append(picture(this.page.image(key), words));
        button.addEventListener("click", () => this.page.pick(String(key)));
        for (const [name, value] of [["pointerenter", key], ["pointerleave", null], ["focus", key], ["blur", null]])
          button.addEventListener(name, () => this.page.hover(value));
        return button;
      }),
    );
  }

  async reconstruct() {
    const { signal } = this.stop;
    const seed = draw();
    byId("reconstruct").disabled = true;
    byId("reconstruct_seed").textContent = `seed ${seed}`;
    waiting(byId("reconstructions"));
    try {
      await lines(`/api/item/${this.key}/reconstructions?seed=${seed}`, ({ images }) => {
        if (signal.aborted) return;
        byId("reconstructions").replaceChildren(...images.map((url) => picture(url, "Reconstruction")));
      }, signal);
    } catch (error) {
      if (!signal.aborted) byId("reconstructions").replaceChildren();
      this.failed(error, signal);
    } finally {
      if (!signal.aborted || !this.key) byId("reconstruct").disabled = false;
    }
  }

  async dream() {
    const { signal } = (this.dreaming = new AbortController());
    const [seed, places, urls] = [draw(), [], [this.page.image(this.key)]];
    clearInterval(this.player);
    byId("dream").textContent = "Stop";
    byId("dream_seed").textContent = `seed ${seed}`;
    byId("frames").replaceChildren();
    byId("stage").classList.add("busy");
    try {
      await lines(`/api/item/${this.key}/dream?seed=${seed}&steps=${STEPS}`, ({ image, place }) => {
        if (signal.aborted) return;
        urls.push(image);
        places.push(place);
        byId("stage").src = image;
        byId("stage").alt = `Daydream, step ${places.length}`;
        byId("frames").append(picture(image, `Step ${places.length}`));
        this.page.dreamt(places);
      }, signal);
    } catch (error) {
      this.failed(error, signal);
    }
    if (signal.aborted) return;
    this.wake();
    this.play(urls);
  }

  // Ends the daydream; the server stops drawing when it hears that nobody listens.
  wake() {
    this.dreaming?.abort();
    this.dreaming = null;
    byId("dream").textContent = "Start";
    byId("stage").classList.remove("busy");
  }

  play(urls) {
    let step = 0;
    this.player = setInterval(() => {
      step = (step + 1) % urls.length;
      byId("stage").src = urls[step];
    }, FRAME);
  }

  failed(error, signal) {
    if (!signal.aborted) this.page.fail(error);
  }
}

export function picture(url, words) {
  const image = new Image();
  image.src = url;
  image.alt = words;
  image.draggable = false;
  return image;
}

function waiting(place) {
  const spinner = document.createElement("span");
  spinner.className = "spinner";
  spinner.role = "status";
  spinner.ariaLabel = "Working";
  place.replaceChildren(spinner);
}

// A bar for each number of a code, up for positive ones.
function bars(place, code) {
  const most = Math.max(...code.map(Math.abs), 1e-9);
  place.ariaLabel = `Code of ${code.length} numbers, from ${Math.min(...code).toFixed(2)} to ${Math.max(...code).toFixed(2)}`;
  place.replaceChildren(
    ...code.map((value, at) => {
      const bar = document.createElement("span");
      bar.className = value < 0 ? "down" : "up";
      bar.style.setProperty("--size", Math.abs(value) / most);
      bar.title = `${at + 1}: ${value.toFixed(3)}`;
      return bar;
    }),
  );
}

const draw = () => Math.floor(Math.random() * 1e6);
