// A line over time, as SVG. What it shows is also written beside it, and in the table.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 48;
const STROKE = 2;

// The least of 1, 2, 5, 10, 20, 50 … that is not less.
export function scaleFor(most) {
  let top = 1;
  for (let step = 0; top < most; step++) top *= step % 3 === 1 ? 2.5 : 2;
  return top;
}

function shape(className) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("class", className);
  return path;
}

export class Plot {
  constructor() {
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.area = shape("area");
    this.line = shape("line");
    this.element.append(this.area, this.line);
  }

  // `points`: [{ at, value }], oldest first, value null where nothing is known; the plot begins at `from` and ends at `to`.
  // Returns the value of its upper edge.
  draw(points, from, to) {
    const top = scaleFor(Math.max(0, ...points.map(({ value }) => value ?? 0)));
    const x = (at) => (((at - from) / (to - from)) * WIDTH).toFixed(1);
    const y = (value) => (HEIGHT - STROKE / 2 - (value / top) * (HEIGHT - STROKE)).toFixed(1);
    let line = "";
    let area = "";
    for (const run of runsOf(points)) {
      const path = run.map(({ at, value }) => `${x(at)} ${y(value)}`).join("L");
      line += `M${path}`;
      area += `M${x(run[0].at)} ${HEIGHT}L${path}L${x(run.at(-1).at)} ${HEIGHT}Z`;
    }
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    return top;
  }
}

// Those points in a row that are known: between them the line is broken.
function runsOf(points) {
  const runs = [[]];
  for (const point of points) {
    if (point.value !== null) runs.at(-1).push(point);
    else if (runs.at(-1).length) runs.push([]);
  }
  return runs.filter((run) => run.length);
}
