// The map: regl-scatterplot with what is drawn above it. Places are pairs in the units of the layout.

import createScatterplot from "./vendor/regl-scatterplot.js";
import { PLAIN } from "./colours.js";

const SVG = "http://www.w3.org/2000/svg";
const FILL = 0.94; // of the canvas that the points take
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

export class CodeMap {
  constructor(canvas, overlay, events) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.marks = { path: [], rings: [], here: null };
    this.plot = createScatterplot({
      canvas,
      backgroundColor: paper(),
      deselectOnDblClick: false,
      deselectOnEscape: false,
      opacityBy: "density",
      opacityByDensityFill: 0.35,
      pointColor: PLAIN,
      pointSize: 3, // of many points; see lay
      pointSizeSelected: 0,
      pointOutlineWidth: 0,
      pointColorHover: ink(),
      spatialIndexUseWorker: false,
      actionKeyMap: { lasso: "shift" },
      lassoInitiator: false,
      lassoColor: ink(),
    });
    this.plot.subscribe("pointover", (row) => events.over(row, this.plot.getScreenPosition(row)));
    this.plot.subscribe("pointout", () => events.out());
    let drawn = false; // a lasso, not a click
    this.plot.subscribe("lassoStart", () => (drawn = true));
    this.plot.subscribe("select", ({ points }) => {
      if (drawn) events.choose(points);
      else if (points.length) events.pick(points[0]);
    });
    this.plot.subscribe("lassoEnd", () => {
      drawn = false;
      this.plot.deselect({ preventEvent: true });
      this.lasso(false);
      events.drawn();
    });
    this.plot.subscribe("drawing", () => this.place());
    dark.addEventListener("change", () => this.plot.set({ backgroundColor: paper(), pointColorHover: ink(), lassoColor: ink() }));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // `points`: Float32Array [2, N]. Colours are drawn with the next call of `paint`.
  lay(points) {
    const count = points.length / 2;
    const [xs, ys] = [points.subarray(0, count), points.subarray(count)];
    const [left, right] = ends(xs);
    const [low, high] = ends(ys);
    this.centre = [(left + right) / 2, (low + high) / 2];
    this.scale = (2 * FILL) / (Math.max(right - left, high - low) || 1);
    this.plot.set({ pointSize: count > 10_000 ? 3 : count > 2_000 ? 4 : 6 });
    this.points = { x: xs.map((x) => this.unit(x, 0)), y: ys.map((y) => this.unit(y, 1)) };
  }

  // `groups`: Uint32Array [N] and a colour for each of them, or null for one colour. Resolves when the points are drawn.
  async paint(groups, colours, { moving = false } = {}) {
    if (!this.plot.get("isPointsDrawn")) this.plot.set({ cameraDistance: this.whole() });
    const points = groups ? { ...this.points, z: groups } : this.points;
    this.plot.set({
      colorBy: groups ? "valueA" : null,
      pointColor: groups && colours.length > 1 ? colours : [groups ? colours[0] : PLAIN, PLAIN].slice(0, 1),
    });
    await this.plot.draw(points, {
      transition: moving && !calm.matches && this.plot.get("isPointsDrawn"),
      transitionDuration: 600,
      ...(groups ? { zDataType: "categorical" } : {}),
    });
    this.place();
  }

  // Whether the next drag draws a lasso; otherwise it pans.
  lasso(on) {
    this.plot.set({ mouseMode: on ? "lasso" : "panZoom" });
  }

  only(rows) {
    return rows ? this.plot.filter(rows) : this.plot.unfilter();
  }

  // What is drawn above the points: {here: place, rings: [places], path: [places]}; what is not named stays.
  mark(marks) {
    Object.assign(this.marks, marks);
    this.place();
  }

  show(place) {
    const distance = Math.min(this.plot.get("cameraDistance"), 0.35);
    return this.plot.zoomToLocation(place.map((value, axis) => this.unit(value, axis)), distance, this.motion());
  }

  reset() {
    return this.plot.zoomToLocation([0, 0], this.whole(), this.motion());
  }

  // Distance from which all points are seen: the map component fits the height.
  whole() {
    const { width, height } = this.canvas.getBoundingClientRect();
    return Math.max(1, height / width);
  }

  hovered(row) {
    return this.plot.hover(row, { preventEvent: true });
  }

  screen(row) {
    return this.plot.getScreenPosition(row);
  }

  motion() {
    return calm.matches ? {} : { transition: true, transitionDuration: 300 };
  }

  // Place of a point in the layout.
  at(row) {
    return [this.points.x[row] / this.scale + this.centre[0], this.points.y[row] / this.scale + this.centre[1]];
  }

  unit(value, axis) {
    return (value - this.centre[axis]) * this.scale;
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const zoom = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
    if (!this.points || event.ctrlKey || event.metaKey || event.altKey) return;
    const [distance, target] = [this.plot.get("cameraDistance"), this.plot.get("cameraTarget")];
    if (step) this.plot.zoomToLocation(target.map((at, axis) => at + step[axis] * distance * 0.15), distance);
    else if (zoom) this.plot.zoomToLocation(target, distance * zoom);
    else if (event.key === "0") this.reset();
    else return;
    event.preventDefault();
  }

  // Moves the overlay along with the points. The map never turns, so a target and a distance are the whole view.
  place() {
    if (!this.points) return;
    const { width, height } = this.canvas.getBoundingClientRect();
    const [cx, cy] = this.plot.get("cameraTarget");
    const zoom = height / 2 / this.plot.get("cameraDistance");
    const at = (place) => [
      width / 2 + (this.unit(place[0], 0) - cx) * zoom,
      height / 2 - (this.unit(place[1], 1) - cy) * zoom,
    ];
    const { here, rings, path } = this.marks;
    const parts = [];
    if (path.length > 1) parts.push(shape("polyline", { points: path.map((p) => at(p).join()).join(" ") }));
    path.slice(1).forEach((p, step) => {
      const [x, y] = at(p);
      parts.push(shape("circle", { class: step === path.length - 2 ? "last" : "step", cx: x, cy: y, r: 4 }));
    });
    for (const ring of rings) parts.push(ringAt("near", at(ring), 5));
    if (here) parts.push(ringAt("here", at(here), 9), ringAt("dot", at(here), 2.5));
    this.overlay.replaceChildren(...parts);
  }
}

function ringAt(name, [cx, cy], r) {
  return shape("circle", { class: name, cx, cy, r });
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function ends(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const paper = () => variable("--map");
const ink = () => variable("--ink");
