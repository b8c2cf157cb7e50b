/*
What was recorded, what is it called, and how is a number written? What all of the page stands on.

The page's scripts are one after another in one element: recorded.js, maps.js, formulas.js, pointing.js, page.js.
*/
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const layers = data.layers;
const last = layers.length - 1;
const steps = data.steps.map((step) => ({ number: step.number, arrays: matrices(step.arrays), right: matrices(step.right),
  shapes: Object.fromEntries(Object.entries(step.arrays).map(([name, array]) => [name, shapeOf(array)])) }));
const state = { step: 0, sample: 0, hidden: new Set(), revealed: new Set(), pointed: null, held: false, check: false };

function matrices(arrays) {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, matrix(array)]));
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
const has = (name) => name in now().arrays;
const at = (name, i, j, version = 'arrays') => now()[version][name][i][j];
const rows = (name) => now().arrays[name].length;
const columns = (name) => now().arrays[name][0].length;
const N = () => rows('x');
const mostN = Math.max(...steps.map((step) => step.arrays.x.length));
const range = (length) => Array.from({ length }, (_, k) => k);

/** An entry of an array, to be shown, or to be a factor in a sum. */
const entry = (name, i, j, more) => ({ name, i, j, ...more });
const valueOf = (each, version) => each.value ?? at(each.name, each.i, each.j, version);

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

const SYMBOLS = { 'y-t': 'y − t', log_y: 'log y', dy: '−t/y', jacobian: '∂y/∂z', product: '−t/y · ∂y/∂z', loss: 'C',
  shifted: 'z − max', exp: 'exp(z − max)', sum: 'Σ exp', losses: 'loss', weight: 'w', gamma: 'γ', beta: 'β',
  dgamma: 'dγ', dbeta: 'dβ', normalized: 'x̂', dlogits: 'dz' };

/** "2.dW" is dW₂ in mathematics: linear layers are counted from 1, and what follows one has its number. */
function symbol(name) {
  const [place, q, kind] = name.split('.');
  if (q === undefined || Number.isNaN(+place)) return SYMBOLS[place] ?? place;
  const before = layers.slice(0, +place + 1);
  const count = before.filter((layer) => layer.output === 'z').length;
  const since = before.length - 1 - before.findLastIndex((layer) => layer.output === 'z');
  const index = [...String(count)].map((digit) => '₀₁₂₃₄₅₆₇₈₉'[digit]).join('');
  const whole = (SYMBOLS[q] ?? q) + index + '′'.repeat(Math.max(0, since - 1));
  return kind === undefined ? whole : `${kind}${kind in { new: 1, exact: 1 } ? ' ' : ' of '}${whole}`;
}

/** "2.dW.exact" is about dW, and an optimizer's memory is about gradients. */
function quantity(name) {
  const [place, q, kind] = name.split('.');
  if (q === undefined || Number.isNaN(+place)) return place === 'product' ? 'y-t' : place;
  return kind && !['new', 'exact', 'outer'].includes(kind) ? `d${q}` : kind === 'new' ? 'new' : q;
}

const withoutExact = (name) => name.replace(/\.exact$/, '');
const outputLabels = (place) => (place === last ? data.class_names : range(columns(output(place))).map((k) => `unit ${k + 1}`));
const inputLabels = (place) => (place ? outputLabels(place - 1) : data.feature_names);

function columnLabels(name) {
  const [place, q] = name.split('.');
  const width = columns(name);
  const fitting = q === undefined ? [data.class_names, data.feature_names] : [outputLabels(+place), inputLabels(+place)];
  if (['x', 'raw', 'dx'].includes(name)) fitting.reverse();
  return width === 1 && q === undefined ? [''] : fitting.find((labels) => labels.length === width) ?? range(width).map((k) => `${k + 1}`);
}

function rowLabels(name) {
  if (bySample(name)) return range(N()).map((n) => `sample ${n + 1}`);
  const labels = inputLabels(+name.split('.')[0] || 0);
  return rows(name) === 1 ? [''] : rows(name) === labels.length ? labels : range(rows(name)).map((k) => `${k + 1}`);
}

function bySample(name) {
  const [place, q] = name.split('.');
  const parameter = q !== undefined && layers[place].parameters.some((each) => q === each || q === `d${each}`);
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
  const plain = +exponent >= -3 && +exponent < 7;
  const power = [...exponent.replace('+', '')].map((sign) => (sign === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[sign])).join('');
  return (plain ? `${+value.toPrecision(digits)}` : `${+mantissa}·10${power}`).replace('-', '−');
}

const shapeText = (name) => now().shapes[withoutExact(name)]?.join(' × ') ?? '';
