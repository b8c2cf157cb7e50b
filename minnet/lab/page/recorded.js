/*
What was recorded, what is it called, and how is a number written? What all of the page stands on.

The page's scripts stand one after another in one element: recorded.js, maps.js, formulas.js, pointing.js, sections.js
and page.js, which names the hooks for tests.
*/
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const layers = data.layers;
const last = layers.length - 1;
const steps = data.steps.map(({ number, arrays, right }) => ({
  number, arrays: each(arrays, matrix), right: each(right, matrix), shapes: each(arrays, shapeOf),
}));
const state = {
  step: 0, // which of the recorded ones
  sample: 0,
  hidden: new Set(data.hidden), // names of arrays, or of quantities, that are left blank
  revealed: new Set(), // entries of them
  pointed: null, // a cell
  held: null, // a cell that stays shown, whatever the mouse passes over
  check: false, // whether its proof is shown
};

function each(arrays, change) {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, change(array)]));
}

/** Rows of numbers: a vector is one row, leading axes are put under one another. */
function matrix(array) {
  if (!Array.isArray(array)) return [[number(array)]];
  if (!Array.isArray(array[0])) return [array.map(number)];
  return Array.isArray(array[0][0]) ? array.flatMap(matrix) : array.map((row) => row.map(number));
}

/** JSON holds no NaN and no infinity: they come as text. */
function number(value) {
  return typeof value === 'number' ? value : { inf: Infinity, '-inf': -Infinity }[value] ?? NaN;
}

function shapeOf(array) {
  return Array.isArray(array) ? [array.length, ...shapeOf(array[0])] : [];
}

const now = () => steps[state.step];
const has = (name) => steps.every(({ arrays }) => name in arrays);
const at = (name, i, j, version = 'arrays') => now()[version][name][i]?.[j] ?? NaN;
const scalar = (name) => at(name, 0, 0);
const names = () => Object.keys(now().arrays).filter(has);
const rows = (name) => now().arrays[name].length;
const columns = (name) => now().arrays[name][0].length;
const N = () => rows('x');
const mostN = Math.max(...steps.map((step) => step.arrays.x.length));
const range = (length) => Array.from({ length }, (_, k) => k);

/** An entry of an array, to be shown, or to be a factor in a sum. */
const entry = (name, i, j, more) => ({ name, i, j, ...more });
const valueOf = ({ value, name, i, j }, version) => value ?? at(name, i, j, version);

/** Whether two numbers agree, seen beside how large what they are made of is. */
function agree(a, b, size = 0) {
  return Object.is(a, b) || Math.abs(a - b) <= data.tolerance * Math.max(Math.abs(a), Math.abs(b), size);
}

// Names

const output = (place) => `${place}.${layers[place].output}`;
const input = (place) => (place ? output(place - 1) : 'x');
const gradient = (place) => `${place}.d${layers[place].output}`; // at its output
const handedOn = (place) => (place ? gradient(place - 1) : 'dx'); // at its input

/** What a layer's equation calls x, z, dz, ... by the name that it was recorded under. */
function named(place, q) {
  const known = { x: input, z: output, a: output, dz: gradient, da: gradient, dx: handedOn };
  return q in known ? known[q](place) : `${place}.${q}`;
}

const SYMBOLS = {
  'y-t': 'y − t', log_y: 'log y', shifted: 'z − max', exp: 'exp(z − max)', sum: 'Σ exp', losses: 'loss', weight: 'w',
  loss: 'C', dy: '−t/y', jacobian: '∂y/∂z', product: '−t/y · ∂y/∂z', gamma: 'γ', beta: 'β', dgamma: 'dγ', dbeta: 'dβ',
  normalized: 'x̂',
};

/** "2.dW.exact" is of layer 2, its dW, and of that what is exact; "y" is of no layer. */
function parts(name) {
  const [place, q, kind] = name.split('.');
  return Number.isNaN(+place) ? { q: place, kind: q } : { place: +place, q, kind };
}

/** "2.dW" is dW₂ in mathematics: linear layers are counted from 1, and what follows one has its number. */
function symbol(name) {
  const { place, q, kind } = parts(name);
  if (place === undefined) return SYMBOLS[q] ?? q;
  const before = layers.slice(0, place + 1);
  const count = before.filter((layer) => layer.output === 'z').length;
  const since = place - before.findLastIndex((layer) => layer.output === 'z');
  const index = [...String(count)].map((digit) => '₀₁₂₃₄₅₆₇₈₉'[digit]).join('');
  const whole = (SYMBOLS[q] ?? q) + index + '′'.repeat(Math.max(0, since - 1));
  const words = kind === 'velocity' ? 'velocity u' : kind;
  return kind === undefined ? whole : `${words}${['new', 'exact'].includes(kind) ? ' ' : ' of '}${whole}`;
}

/** An entry as the code calls it: of a matrix by row and column, of a Jacobian by its sample before. */
function inCode(name, i, j) {
  const [shape, second] = [now().shapes[name], now().shapes[name][1]];
  const index = [[], [j], [i, j], [Math.floor(i / second), i % second, j]][shape.length];
  return index.length ? `${name}[${index.join(', ')}]` : name;
}

/** What is hidden together: "2.dW.exact" is a dW as well, and what an optimizer makes of dW gives it away. */
function quantity(name) {
  const { q, kind } = parts(name);
  if (q === 'product') return 'y-t';
  if (kind === 'row') return kind;
  if (kind === undefined || ['exact', 'outer', 'share'].includes(kind)) return q;
  return `d${q}`;
}

const withoutExact = (name) => name.replace(/\.exact$/, '');
const counted = (word, length) => range(length).map((k) => `${word}${k + 1}`);
const outputLabels = (place) => (place === last ? data.class_names : counted('unit ', columns(output(place))));
const inputLabels = (place) => (place ? outputLabels(place - 1) : data.feature_names);

function columnLabels(name) {
  const { place, q } = parts(name);
  const width = columns(name);
  if (place === undefined && width === 1) return [''];
  const ofData = ['x', 'raw', 'dx'].includes(q) ? [data.feature_names] : [data.class_names];
  const possible = place === undefined ? ofData : [outputLabels(place), inputLabels(place)];
  return possible.find((labels) => labels.length === width) ?? counted('', width);
}

function rowLabels(name) {
  if (bySample(name)) return counted('sample ', N());
  const labels = inputLabels(parts(name).place ?? 0);
  if (rows(name) === 1) return [''];
  return rows(name) === labels.length ? labels : counted('', rows(name));
}

function bySample(name) {
  const { place, q } = parts(name);
  const parameter = place !== undefined && layers[place].parameters.some((known) => q === known || q === `d${known}`);
  return !parameter && name !== 'loss' && rows(name) === N();
}

/** The class that a row of targets names. */
function classOf(n) {
  const t = now().arrays.t[n];
  const share = Math.max(...t);
  return data.class_names[t.indexOf(share)] + (share === 1 ? '' : ` (${text(share)})`);
}

// Numbers as text

/** A number with so many digits at most, with a real minus, and powers of ten written as such. */
function text(value, digits = 4) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  if (value === 0) return '0'; // and so is −0
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
  if (+exponent >= -3 && +exponent < 7) return `${+value.toPrecision(digits)}`.replace('-', '−');
  const power = exponent.replace(/[+-]/, '').replace(/\d/g, (digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit]);
  return `${+mantissa}·10${exponent < 0 ? '⁻' : ''}${power}`.replace('-', '−');
}

const shapeText = (name) => now().shapes[withoutExact(name)]?.join(' × ') ?? '';
