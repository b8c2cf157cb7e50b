/*
How does one recorded step look, so that each of its numbers can be asked where it comes from?

The page shows what `Explanation.content()` of minnet/lab/explain.py recorded, and adds nothing to it. Where it writes
out a sum, it multiplies the numbers that stand there and holds the total against the entry that was recorded.
All text goes into the page as text, never as HTML: names of classes and features are strangers'.

Hooks for tests:
  #batch #forward #output #heart #backward #update #proof     the sections; a layer in them: [data-layer="0"]
  table[role=grid][data-array="2.dW"]   a map; [data-version="right"] is the right program's beside a bug's
  td[data-array][data-i][data-j]        an entry, from 0 (of a Jacobian within its sample); its text is the number with
                                        4 digits (none in large maps, .colours), its aria-label names it with 6
  td.pointed .lit1 .lit2 .hidden; tr.chosen; figure.wrong     what is pointed at, what made it, blanks, the sample
  #step, [name=sample], #where, #theme, #long-way, #long, #hide [name=hide][value="dz"], #show-all
  #panel, #sum (.value, .written, .verdict), #check, #close   the written-out sum; data-holds="true" or "false"
  #proof .verdicts tr[data-array] [data-holds]; #first        what the proof says; the link to where a bug first shows
Maps of more than 1000 entries are built when they come near the window: scroll to them first.
*/
'use strict';

// ---------------------------------------------------------------------------------------------- what was recorded

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

// ---------------------------------------------------------------------------------------------------------- names

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

// ------------------------------------------------------------------------------------------------ numbers as text

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

// --------------------------------------------------------------------------------------------- pieces of the page

const find = (selector, root = document) => root.querySelector(selector);
const changes = []; // what is to be done when another step or sample is chosen

/** Do something now, and again whenever another step or sample is chosen. */
function live(change) {
  changes.push(change);
  change();
}

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function math(tag, ...children) {
  const element = document.createElementNS('http://www.w3.org/1998/Math/MathML', tag);
  element.append(...children);
  return element;
}

/** "dW₂" as mathematics: d and W, and 2 below. */
function letters(name) {
  const [, word, index, primes] = /^(\D*?)([₀-₉]*)(′*)$/u.exec(symbol(name)) ?? [0, symbol(name), '', ''];
  const single = word.length < 4 ? [...word.replace('x̂', 'x̂')].map((each) => math('mi', each)) : [math('mtext', word)];
  const below = [...index].map((digit) => '₀₁₂₃₄₅₆₇₈₉'.indexOf(digit)).join('');
  const whole = below ? math('msub', math('mrow', ...single), math('mn', below)) : math('mrow', ...single);
  return primes ? math('mrow', whole, math('mo', primes)) : whole;
}

/** Give each quantity of an equation its symbol, and under it its shape. */
function fillMath(root, resolve = (q) => q) {
  for (const place of root.querySelectorAll('mi[data-q]')) {
    const name = resolve(place.dataset.q);
    const turned = 'transposed' in place.dataset;
    const letter = turned ? math('msup', letters(name), math('mo', '⊤')) : letters(name);
    if ('bare' in place.dataset || !has(name)) { place.replaceWith(letter); continue; }
    const shape = math('mtext');
    live(() => { shape.textContent = turned ? [...now().shapes[name]].reverse().join(' × ') : shapeText(name); });
    place.replaceWith(math('munder', letter, shape));
  }
}

/** The equation of a kind of layer, from the page's templates, or what its author says of it. */
function equation(kind, resolve, words = '') {
  const template = find(`template[data-equation="${CSS.escape(kind)}"]`);
  if (!template) return el('p', { class: 'words' }, words);
  const box = el('div', { class: 'equation', 'data-number': template.dataset.number }, template.content.cloneNode(true));
  fillMath(box, resolve);
  return box;
}

const link = (name, words = symbol(name)) => el('a', { href: `#at-${name}` }, words);
const sign = (words) => el('span', { class: 'sign' }, words);

/** Maps beside one another; a sign stays with the map that it stands before. */
function flow(...pieces) {
  const row = el('div', { class: 'flow' });
  for (const piece of pieces.filter(Boolean)) {
    const open = row.lastChild?.lastChild?.className === 'sign';
    if (open) row.lastChild.append(piece);
    else row.append(el('div', {}, piece));
  }
  return row;
}


// ----------------------------------------------------------------------------------------------------------- maps

const maps = [];
const LARGE = 1000; // entries; larger maps wait until they are seen
const extents = new Map();

/** The number that has the full colour: arrays that are to be compared share it. */
function extent(name) {
  const shared = name.replace(/\.(exact|outer|new)$/, '');
  if (['y', 't', 'y-t', 'y-t.row', 'product'].includes(shared)) return 1;
  const [place, q] = shared.split('.');
  if (q === 'a' && ['ReLU', 'LeakyReLU', 'Dropout'].includes(layers[place].kind)) return extent(input(+place));
  const key = `${state.step}|${shared}`;
  const all = () => [now().arrays[shared], now().arrays[`${shared}.exact`], now().right[shared]].flatMap((array) => array?.flat() ?? []);
  const most = () => all().filter(Number.isFinite).reduce((sofar, value) => Math.max(sofar, Math.abs(value)), 0);
  if (!extents.has(key)) extents.set(key, most() || 1);
  return extents.get(key);
}

const identity = (each) => `${withoutExact(each.name)}|${each.n ?? ''}|${each.i}|${each.j}`;
const isHidden = (each) => state.hidden.has(quantity(each.name)) && !state.revealed.has(`${state.step}|${identity(each)}`);

/** An array as it is: rows and columns of entries, with their names. */
const whole = (name) => () => ({
  columns: columnLabels(name),
  rows: rowLabels(name).map((label, i) => ({ label, sample: bySample(name) ? i : undefined,
    cells: range(columns(name)).map((j) => entry(name, i, j)) })),
});

/** A map of an array with its caption, and beside it the right program's, where the two differ. */
function map(name, { layout = whole(name), caption = symbol(name), picture = false, bare = false } = {}) {
  if (!layout && !has(name)) return null;
  const figure = el('figure', { id: document.getElementById(`at-${name}`) || bare ? undefined : `at-${name}`, tabindex: bare ? undefined : -1 });
  claimed.has(name) || bare ? figure.removeAttribute('id') : claimed.add(name);
  const legend = el('figcaption');
  const shown = [{ version: 'arrays' }, ...(steps.some((step) => name in step.right) && !picture ? [{ version: 'right' }] : [])];
  figure.append(...(bare ? [] : [legend]), ...shown.map((each) => newGrid(each, name, layout, picture)));
  live(() => {
    if (!has(name) && layout === undefined) return;
    const error = has(`${name}.error`) ? at(`${name}.error`, 0, 0) : 0;
    const wrong = !(error <= data.tolerance);
    const other = shown.length > 1 && differs(name);
    figure.classList.toggle('wrong', wrong || other);
    if (shown[1]) shown[1].box.hidden = !other;
    const code = name === caption || name.split('.').length > 2 ? [] : [el('code', {}, name)];
    const size = state.hidden.has(quantity(name)) || ['row', 't'].includes(name) ? '' : ` ±${text(extent(name), 3)}`;
    legend.replaceChildren(el('b', {}, caption), ' ', ...code, el('small', {}, ` ${shapeText(name)}${size}`));
    if (wrong) legend.append(el('strong', {}, ` ✗ wrong, relative error ${text(error, 2)}`));
    if (other) legend.append(el('strong', {}, ` ✗ with ${data.bug?.name ?? 'the mistake'}; below it, what is right`));
  });
  return figure;
}

const claimed = new Set(); // names whose first map has the id that links lead to

function newGrid(grid, name, layout, picture) {
  const right = grid.version === 'right';
  const table = el('table', { role: 'grid', 'data-array': name, 'data-version': right ? 'right' : undefined });
  grid.box = el('div', { class: 'scroll' }, ...(right ? [el('p', { class: 'right' }, 'right')] : []), table);
  Object.assign(grid, { name, layout, picture, table, cells: new Map(), seen: false });
  maps.push(grid);
  const { rows: lines, columns: labels } = layout();
  grid.large = lines.length * labels.length > LARGE;
  if (grid.large) {
    grid.box.style.minHeight = `${lines.length * (lines.length > 40 ? 8 : 12) + 2}px`;
    whenSeen.observe(grid.box);
    grid.box.grid = grid;
  } else draw(grid);
  return grid.box;
}

const whenSeen = new IntersectionObserver((boxes) => boxes.forEach(({ target, isIntersecting }) => {
  target.grid.seen = isIntersecting;
  if (isIntersecting && target.grid.stale !== false) draw(target.grid);
}), { rootMargin: '400px' });

/** Write an array's numbers into its map; the table itself is made anew only if its shape is another one. */
function draw(grid) {
  const { columns: labels, rows: lines } = grid.layout();
  const small = lines.length <= 17 && labels.length <= 13 && !grid.picture;
  const form = `${lines.length} ${labels.length}`;
  if (grid.form !== form) build(grid, lines, labels, small);
  grid.form = form;
  grid.stale = false;
  grid.cells.clear();
  const right = grid.version === 'right' ? ', right' : '';
  lines.forEach((line, r) => {
    const row = grid.table.tBodies[0].rows[r];
    row.classList.toggle('chosen', line.sample === state.sample);
    row.cells[0].textContent = line.label;
    line.cells.forEach((each, c) => each && paint(grid, row.cells[c + 1], each, small, `${[line.label, labels[c]].filter((words) => words !== '').join(', ')}`, right));
  });
  grid.table.setAttribute('aria-label', `${symbol(grid.name)}, ${shapeText(grid.name)}${right}`);
}

function build(grid, lines, labels, small) {
  const first = grid.table.contains(document.activeElement) || grid.table.contains(state.pointed);
  if (first) letGo();
  const head = el('tr', {}, el('td'), ...labels.map((label) => el(label === '' ? 'td' : 'th', label === '' ? {} : { scope: 'col' }, label)));
  const body = lines.map((line) => el('tr', {}, el(line.label ? 'th' : 'td', line.label ? { scope: 'row' } : {}), ...line.cells.map((each) => el('td', each ? { 'data-i': each.i } : {}))));
  grid.table.className = `${grid.picture ? 'picture' : small ? 'numbers' : 'colours'}${lines.length > 40 ? ' tall' : ''}`;
  grid.table.replaceChildren(el('thead', {}, head), el('tbody', {}, ...body));
  find('td[data-i]', grid.table)?.setAttribute('tabindex', 0);
}

function paint(grid, cell, each, small, where, right) {
  const hidden = isHidden(each) && !grid.picture;
  const value = hidden ? NaN : valueOf(each, grid.version);
  cell.entry = each;
  grid.cells.set(identity(each), cell);
  cell.dataset.array = each.name;
  cell.dataset.i = each.row ?? each.i;
  cell.dataset.j = each.j;
  cell.classList.toggle('hidden', hidden);
  cell.classList.toggle('negative', value < 0);
  cell.classList.toggle('odd', !hidden && !Number.isFinite(value));
  cell.style.setProperty('--share', Number.isFinite(value) && !each.plain ? Math.min(1, Math.abs(value) / extent(each.name)).toFixed(3) : 0);
  if (small) cell.textContent = hidden ? '?' : text(value);
  cell.setAttribute('aria-label', `${symbol(each.name)}${right}, ${where}: ${hidden ? 'hidden' : text(value, 6)}`);
}

/** Whether the program with a bug has other numbers here than the right one. */
function differs(name, step = now()) {
  const [wrong, right] = [step.arrays[name], step.right[name]];
  if (!wrong || !right) return false;
  if (wrong.length !== right.length || wrong[0].length !== right[0].length) return true;
  const size = Math.max(...right.map((row) => Math.max(...row.map(Math.abs))));
  return wrong.some((row, i) => row.some((value, j) => !agree(value, right[i][j], size)));
}

// ------------------------------------------------------------------------------------ what makes an entry: formulas

const formulas = {}; // of an array's name: from i, j and the entry to what makes it

const sum = (terms, sign = 1) => ({ terms, sign });
const written = (value, ...parts) => ({ parts, value });
const factor = (each) => (typeof each === 'number' ? each : valueOf(each));
const total = (terms) => terms.reduce((sofar, term) => sofar + term.reduce((product, each) => product * factor(each), 1), 0);

function formulasOfLinear(place) {
  const [x, z, dz, dx] = [input(place), output(place), gradient(place), handedOn(place)];
  const [W, b] = [`${place}.W`, `${place}.b`];
  formulas[z] = (n, j) => sum([...range(columns(x)).map((i) => [entry(x, n, i), entry(W, i, j)]), ...(has(b) ? [[entry(b, 0, j)]] : [])]);
  formulas[`${place}.dW`] = (i, j) => sum(range(N()).map((n) => [entry(x, n, i), entry(dz, n, j)]));
  formulas[`${place}.dW.outer`] = (i, j, { n }) => sum([[entry(x, n, i), entry(dz, n, j)]]);
  formulas[`${place}.db`] = (_, j) => sum(range(N()).map((n) => [entry(dz, n, j)]));
  formulas[dx] = (n, i) => sum(range(columns(dz)).map((j) => [entry(dz, n, j), entry(W, i, j)]));
}

/** Of an activation: what it makes of z, and how its slope meets the gradient. */
const ACTIVATIONS = {
  ReLU: (z) => written(Math.max(0, factor(z)), 'max(0, ', z, ')'),
  LeakyReLU: (z, s) => written(factor(z) > 0 ? factor(z) : s * factor(z), factor(z) > 0 ? '1 · ' : `${s} · `, z),
  Tanh: (z) => written(Math.tanh(factor(z)), 'tanh(', z, ')'),
  Sigmoid: (z) => written(1 / (1 + Math.exp(-factor(z))), '1 / (1 + exp(−(', z, ')))'),
};
const SLOPES = {
  ReLU: (da, z) => written(factor(z) > 0 ? factor(da) : 0, da, ' · 1{', z, ' > 0}'),
  LeakyReLU: (da, z, a, s) => written(factor(da) * (factor(z) > 0 ? 1 : s), da, ` · ${factor(z) > 0 ? 1 : s}, the slope at `, z),
  Tanh: (da, z, a) => written(factor(da) * (1 - factor(a) ** 2), da, ' · (1 − ', a, '²)'),
  Sigmoid: (da, z, a) => written(factor(da) * factor(a) * (1 - factor(a)), da, ' · ', a, ' · (1 − ', a, ')'),
};

function formulasOfActivation(place, { kind, name }) {
  const [z, a, da] = [input(place), output(place), gradient(place)];
  const slope = +/[\d.e-]+(?=\))/.exec(name)?.[0];
  formulas[a] = (n, j) => ACTIVATIONS[kind](entry(z, n, j), slope);
  formulas[handedOn(place)] = (n, j) => SLOPES[kind](entry(da, n, j), entry(z, n, j), entry(a, n, j), slope);
}

function formulasOfDropout(place) {
  const mask = `${place}.mask`;
  formulas[output(place)] = (n, j) => sum([[entry(input(place), n, j), entry(mask, n, j)]]);
  formulas[handedOn(place)] = (n, j) => sum([[entry(gradient(place), n, j), entry(mask, n, j)]]);
}

function formulasOfNormalization(place, { kind }) {
  const [x, da] = [input(place), gradient(place)];
  const [gamma, beta, normalized, scale] = ['gamma', 'beta', 'normalized', 'scale'].map((q) => `${place}.${q}`);
  const ofLayer = kind === 'LayerNorm'; // means over a sample's features, not over a feature's samples
  const scaled = (n, j) => entry(scale, ofLayer ? n : 0, ofLayer ? 0 : j);
  const mean = (n, j, value) => {
    const places = ofLayer ? range(columns(x)).map((k) => [n, k]) : range(N()).map((m) => [m, j]);
    return places.reduce((sofar, [m, k]) => sofar + value(m, k), 0) / places.length;
  };
  const g = (n, j) => at(gamma, 0, j) * at(da, n, j);
  const hat = (n, j) => at(normalized, n, j);
  formulas[normalized] = (n, j) => {
    const middle = mean(n, j, (m, k) => at(x, m, k));
    return written((at(x, n, j) - middle) * factor(scaled(n, j)), '(', entry(x, n, j), ' − ', middle, ') · ', scaled(n, j));
  };
  formulas[output(place)] = (n, j) => sum([[entry(gamma, 0, j), entry(normalized, n, j)], [entry(beta, 0, j)]]);
  formulas[`${place}.dgamma`] = (_, j) => sum(range(N()).map((n) => [entry(da, n, j), entry(normalized, n, j)]));
  formulas[`${place}.dbeta`] = (_, j) => sum(range(N()).map((n) => [entry(da, n, j)]));
  formulas[handedOn(place)] = (n, j) => {
    const [first, second] = [mean(n, j, g), mean(n, j, (m, k) => g(m, k) * hat(m, k))];
    const value = factor(scaled(n, j)) * (g(n, j) - first - hat(n, j) * second);
    return written(value, scaled(n, j), ' · (', g(n, j), ' − ', first, ' − ', entry(normalized, n, j), ' · ', second, ')');
  };
}

function formulasOfOutput() {
  const z = output(last);
  const classes = () => range(columns('y'));
  const K = data.class_names.length;
  formulas.shifted = (n, k) => {
    const most = classes().reduce((best, j) => (at(z, n, j) > at(z, n, best) ? j : best), 0);
    return written(at(z, n, k) - at(z, n, most), entry(z, n, k), ' − ', entry(z, n, most));
  };
  formulas.exp = (n, k) => written(Math.exp(at('shifted', n, k)), 'exp(', entry('shifted', n, k), ')');
  formulas.sum = (n) => sum(classes().map((k) => [entry('exp', n, k)]));
  if (has('exp')) {
    formulas.y = (n, k) => written(at('exp', n, k) / at('sum', n, 0), entry('exp', n, k), ' / ', entry('sum', n, 0));
    formulas.log_y = (n, k) => written(at('shifted', n, k) - Math.log(at('sum', n, 0)), entry('shifted', n, k), ' − log ', entry('sum', n, 0));
    formulas.losses = (n) => sum(classes().filter((k) => at('t', n, k)).map((k) => [entry('t', n, k), entry('log_y', n, k)]), -1);
    formulas.loss = () => sum(range(N()).map((n) => [entry('weight', n, 0), entry('losses', n, 0)]));
  }
  formulas['y-t'] = (n, k) => written(at('y', n, k) - at('t', n, k), entry('y', n, k), ' − ', entry('t', n, k));
  formulas[gradient(last)] = (n, k) => sum([[entry('weight', n, 0), entry('y-t', n, k)]]);
  formulas.dy = (n, k) => written(-at('t', n, k) / at('y', n, k), '−', entry('t', n, k), ' / ', entry('y', n, k));
  formulas.jacobian = (r, i) => {
    const [n, k] = [Math.floor(r / K), r % K];
    const [yk, yi] = [entry('y', n, k), entry('y', n, i)];
    if (k === i) return written(factor(yk) * (1 - factor(yk)), yk, ' · (1 − ', yk, ')');
    return written(-factor(yk) * factor(yi), '−', yk, ' · ', yi);
  };
  formulas.product = (n, i) => sum(classes().map((k) => [entry('dy', n, k), entry('jacobian', n * K + k, i)]));
}

function formulasOfUpdate() {
  const plainSGD = data.optimizer.startsWith('SGD(') && !data.optimizer.includes('nesterov=True');
  const lr = () => (has('lr') ? at('lr', 0, 0) : +/lr=([\d.e+-]+)/.exec(data.optimizer)?.[1]);
  if (plainSGD) for (const name of Object.keys(now().arrays).filter((each) => each.endsWith('.new'))) {
    const [theta, v] = [name.replace('.new', ''), name.replace('.new', '.velocity')];
    formulas[name] = (i, j) => written(at(theta, i, j) - lr() * at(v, i, j), entry(theta, i, j), ' − ', lr(), ' · ', entry(v, i, j));
  }
}

function allFormulas() {
  layers.forEach((layer, place) => {
    if (layer.linear) formulasOfLinear(place);
    else if (layer.kind in ACTIVATIONS) formulasOfActivation(place, layer);
    else if (layer.kind === 'Dropout') formulasOfDropout(place);
    else if (has(`${place}.normalized`) && has(`${place}.gamma`)) formulasOfNormalization(place, layer);
  });
  formulasOfOutput();
  formulasOfUpdate();
}

// -------------------------------------------------------------------------------------- pointing, and the panel below

const panel = find('#panel');
const MOST_TERMS = 6;

function point(cell) {
  for (const each of document.querySelectorAll('.pointed, .lit1, .lit2')) each.classList.remove('pointed', 'lit1', 'lit2');
  state.pointed = cell;
  panel.hidden = !cell;
  if (!cell) return;
  cell.classList.add('pointed');
  showSum(cell);
}

function letGo() {
  state.held = false;
  point(null);
}

const light = (each, which) => maps.forEach((grid) => grid.version === 'arrays' && grid.cells.get(identity(each))?.classList.add(which));

/** Say what the entry is, write out what makes it, and hold the two against each other. */
function showSum(cell) {
  const each = cell.entry;
  const hidden = isHidden(each);
  const right = cell.closest('table').dataset.version === 'right';
  const recorded = valueOf(each, right ? 'right' : 'arrays');
  const where = cell.getAttribute('aria-label').replace(/: [^:]*$/, '');
  const code = each.value === undefined ? el('code', {}, `${each.name}[${each.i}, ${each.j}]`) : '';
  const value = el('span', { class: 'value' }, hidden ? 'hidden: click it, or press Enter' : text(recorded, 10));
  const lines = [el('p', {}, el('b', {}, where), ' ', code, ' = ', value)];
  const formula = right ? undefined : formulas[withoutExact(each.name)]?.(each.i, each.j, each);
  const holds = formula && writeOut(formula, each, hidden, lines);
  if (holds === undefined) delete find('#sum').dataset.holds;
  else find('#sum').dataset.holds = holds;
  const provable = has(`${withoutExact(each.name)}.exact`) && !right && !hidden;
  if (provable && (state.check || cell.closest('#proof'))) lines.push(...proofOf(each));
  find('#check').hidden = !provable || Boolean(cell.closest('#proof'));
  find('#sum').replaceChildren(...lines);
  panel.classList.toggle('held', state.held);
}

function writeOut(formula, each, hidden, lines) {
  const box = el('p', { class: 'written' });
  const put = (part, role) => {
    if (typeof part === 'string') return box.append(part);
    const value = typeof part === 'number' ? part : valueOf(part);
    const blank = typeof part !== 'number' && isHidden(part);
    const words = blank ? '?' : text(value, 6);
    const bracket = value < 0 && /[·+−/] ?$/.test(box.textContent) && !blank;
    box.append(el('span', typeof part === 'number' ? {} : { class: `factor${role}` }, bracket ? `(${words})` : words));
    if (typeof part !== 'number') light(part, `lit${role}`);
  };
  let [value, size, role] = [formula.value, Math.abs(formula.value), 0];
  if (formula.terms) {
    value = formula.sign * total(formula.terms);
    size = formula.terms.reduce((sofar, term) => sofar + Math.abs(total([term])), 0);
    writeTerms(formula, put);
  } else formula.parts.forEach((part) => put(part, typeof part === 'object' ? Math.min(2, (role += 1)) : 0));
  const exact = each.name.endsWith('.exact');
  const recorded = exact ? at(withoutExact(each.name), each.i, each.j) : valueOf(each);
  const holds = agree(value, recorded, size);
  box.append(hidden ? ' = ?' : ` = ${text(value, 6)}`);
  lines.push(box);
  if (!holds && !hidden) lines.push(el('p', { class: 'verdict wrong' }, `✗ This makes ${text(value, 10)}; what was recorded is ${text(recorded, 10)}.`));
  return holds;
}

/** The largest terms of a sum in their order, and of the others how many there are and what they make. */
function writeTerms({ terms, sign }, put) {
  const sizes = terms.map((term) => Math.abs(total([term])));
  const least = [...sizes].sort((a, b) => b - a)[MOST_TERMS - 1];
  const kept = terms.length <= MOST_TERMS + 2 ? terms : terms.filter((_, k) => sizes[k] >= least).slice(0, MOST_TERMS);
  const others = terms.filter((term) => !kept.includes(term));
  if (sign < 0) put('−(');
  kept.forEach((term, k) => {
    if (k) put(' + ');
    term.forEach((each, f) => (f ? put(' · ') : 0, put(each, Math.min(2, f + 1))));
  });
  if (others.length) {
    const blank = others.flat().some((each) => isHidden(each));
    put(`${kept.length ? ' + ' : ''}${others.length} more terms: `);
    blank ? put('?') : put(total(others));
    others.forEach((term) => term.forEach((each, f) => light(each, `lit${Math.min(2, f + 1)}`)));
  }
  if (sign < 0) put(')');
}

/** The backward pass and the complex step side by side, with all their digits. */
function proofOf({ name, i, j }) {
  const [said, exact] = [at(withoutExact(name), i, j), at(`${withoutExact(name)}.exact`, i, j)];
  const holds = agree(said, exact, extent(`${withoutExact(name)}`));
  const line = (words, value) => el('p', { class: 'digits' }, el('span', {}, words), el('span', {}, value));
  return [line('backward pass', text(said, 15)), line('complex step', text(exact, 15)), line('difference', text(said - exact, 3)),
    el('p', { class: holds ? 'verdict' : 'verdict wrong', 'data-holds': holds }, holds ? '✓ They agree.' : '✗ They differ: the backward pass is wrong here.')];
}

/** Click or Enter: a blank is revealed; any other entry is held, or let go again. */
function press(cell) {
  if (isHidden(cell.entry)) {
    state.revealed.add(`${state.step}|${identity(cell.entry)}`);
    redraw();
  } else state.held = !(state.held && state.pointed === cell);
  moveTo(cell);
  point(cell);
}

/** One entry of each map can be reached by Tab, from there the arrow keys lead on. */
function moveTo(cell) {
  for (const each of cell.closest('table').querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
  cell.tabIndex = 0;
  if (document.activeElement !== cell) cell.focus({ preventScroll: false });
}

function neighbour(cell, key) {
  const [row, lines] = [cell.parentElement, [...cell.closest('tbody').rows]];
  const entries = [...row.cells].filter((each) => each.entry);
  const aside = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (aside) return entries[entries.indexOf(cell) + aside];
  if (key === 'Home' || key === 'End') return entries.at(key === 'Home' ? 0 : -1);
  const away = { ArrowUp: -1, ArrowDown: 1 }[key];
  const other = away && lines[lines.indexOf(row) + away]?.cells[cell.cellIndex];
  return other?.entry ? other : undefined;
}

function onKey(event) {
  if (event.key === 'Escape') return letGo();
  const cell = event.target.closest?.('td[data-j]');
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'c') find('#check').click();
  if (event.key === 'Enter' || event.key === ' ') { press(cell); event.preventDefault(); }
  if (/^(Arrow|Home|End)/.test(event.key)) {
    const next = neighbour(cell, event.key);
    if (next) moveTo(next);
    event.preventDefault();
  }
}

function listen() {
  const over = (handler) => (event) => { const cell = event.target.closest?.('td[data-j]'); if (cell) handler(cell); };
  document.addEventListener('pointerover', over((cell) => state.held || point(cell)));
  document.addEventListener('focusin', over(point));
  document.addEventListener('click', over(press));
  document.addEventListener('keydown', onKey);
  find('#close').addEventListener('click', letGo);
  find('#check').addEventListener('click', ({ currentTarget }) => {
    state.check = !state.check;
    currentTarget.setAttribute('aria-pressed', state.check);
    if (state.pointed) point(state.pointed);
  });
}

// --------------------------------------------------------------------------------------------------- the sections

function showBatch() {
  const list = find('#batch .samples');
  for (const n of range(mostN)) {
    const button = el('button', { type: 'button' });
    button.addEventListener('click', () => chooseSample(n));
    const item = el('li', {}, ...(data.picture && has('raw') ? [map('raw', { layout: pixels(n), picture: true, bare: true })] : []), button);
    list.append(item);
    live(() => {
      item.hidden = n >= N();
      if (item.hidden) return;
      button.textContent = describe(n);
      button.setAttribute('aria-pressed', n === state.sample);
    });
  }
  const changed = has('raw') && !data.picture && steps.some(({ arrays }) => String(arrays.raw) !== String(arrays.x));
  find('#batch .maps').append(flow(changed && map('raw', { caption: 'as measured' }), changed && sign('standardised →'), map('x'), map('t')));
}

const describe = (n) => `sample ${n + 1}: ${classOf(n)}${has('row') ? `, row ${at('row', n, 0)}` : ''}`;

/** A sample as a little picture. */
const pixels = (n) => () => {
  const [height, width] = data.picture;
  const cells = (r) => range(width).map((c) => entry('raw', n, r * width + c));
  return { columns: range(width), rows: n < N() ? range(height).map((r) => ({ label: `sample ${n + 1}, pixel row ${r + 1}`, cells: cells(r) })) : [] };
};

const layerBox = (place, ...pieces) => el('article', { 'data-layer': place }, el('h3', {}, `Layer ${place}: ${layers[place].name}`), ...pieces);
const visible = (parameters) => parameters.filter((each) => !each.startsWith('running_'));

function showForward() {
  layers.forEach((layer, place) => {
    const parameters = visible(layer.parameters).map((each) => `${place}.${each}`);
    const known = [...layer.parameters.map((each) => `${place}.${each}`), output(place)];
    const inside = Object.keys(now().arrays).filter((name) => name.startsWith(`${place}.`) && name.split('.').length === 2
      && !known.includes(name) && !/^\d+\.d/.test(name));
    const signs = layer.linear ? ['·', '+'] : [];
    const pieces = [map(input(place)), ...parameters.flatMap((name, k) => [signs[k] && sign(signs[k]), map(name)])];
    const kept = inside.map((name) => map(name));
    find('#forward .layers').append(layerBox(place, equation(templateOf(layer), (q) => named(place, q), layer.forward),
      flow(...pieces, ...kept, sign(layer.linear ? '=' : '→'), map(output(place)))));
  });
}

const templateOf = (layer) => (['BatchNorm', 'LayerNorm'].includes(layer.kind) ? 'Normalization' : layer.kind || (layer.linear ? 'Linear' : ''));

function showOutput() {
  const z = output(last);
  const chain = has('shifted') ? [map('shifted'), sign('exp →'), map('exp'), sign('Σ →'), map('sum'), sign('÷ →')] : [];
  find('#output .maps').append(
    flow(map(z, { caption: `${symbol(z)}, the logits` }), sign(has('shifted') ? '− max →' : '→'), ...chain, map('y')),
    flow(map('log_y'), map('t'), sign('→'), map('losses', { caption: 'each loss' }), sign('·'), map('weight'), sign('→'), map('loss')));
}

/** The four rows of the chosen sample, under one another: what was said, what was right, and what that makes. */
function fourRows() {
  const n = state.sample;
  const dz = gradient(last);
  const line = (name, label) => {
    const cells = range(columns('y')).map((k) => entry(name, n, k));
    const values = cells.map((each) => valueOf(each));
    const sum = values.reduce((a, b) => a + b, 0);
    const value = agree(sum, 0, Math.max(...values.map(Math.abs))) ? 0 : sum;
    return { label, sample: n, cells: [...cells, entry(`${name}.row`, n, 'sum', { value, plain: true })] };
  };
  const even = range(N()).every((m) => agree(at('weight', m, 0), 1 / N()));
  const share = `${symbol(dz)} = ${even ? `(y − t) / ${N()}` : `${text(at('weight', n, 0))} (y − t)`}`;
  return { columns: [...data.class_names, 'sum'], rows: [line('y', 'y'), line('t', 't'), line('y-t', 'y − t'), line(dz, share)] };
}

function showHeart() {
  const dz = gradient(last);
  const below = layers[last].parameters.map((each) => link(`${last}.d${each}`));
  find('#from').append('It comes from ', link('y'), ' and ', link('t'), ' in the output above; the table shows one sample.');
  find('#goes').append('From here it goes to ', ...below.flatMap((each) => [each, ', ']), 'and, through the last layer, to ',
    has(handedOn(last)) ? link(handedOn(last)) : 'the layers before', '. See ', el('a', { href: '#backward' }, 'each layer backward'), '.');
  const one = map('y-t', { layout: fourRows, caption: '' });
  live(() => { find('figcaption', one).textContent = `${describe(state.sample)}`; });
  find('#heart .one').append(one);
  find('#heart .maps').append(flow(map('y'), sign('−'), map('t'), sign('='), map('y-t'), sign('· w →'), map(dz)));
  live(() => {
    const off = range(N()).some((n) => range(columns('y')).some((k) => !agree(at(dz, n, k), at('weight', n, 0) * at('y-t', n, k), 1 / N())));
    const wrong = !(at(`${dz}.error`, 0, 0) <= data.tolerance);
    find('#differs').hidden = !off;
    find('#differs').textContent = wrong ? `✗ The ${symbol(dz)} that was computed is not w · (y − t).`
      : `This output layer has another loss, whose gradient is not w · (y − t); it is right all the same.`;
  });
  showLongWay();
  find('#long-way').addEventListener('change', ({ target }) => { find('#long').hidden = !target.checked; });
}

function showLongWay() {
  const K = data.class_names.length;
  const row = (name) => () => ({ columns: data.class_names, rows: [{ label: '', cells: range(K).map((k) => entry(name, state.sample, k)) }] });
  const square = () => ({ columns: data.class_names.map((name) => `z of ${name}`), rows: data.class_names.map((name, k) => ({
    label: `y of ${name}`, cells: range(K).map((i) => entry('jacobian', state.sample * K + k, i, { row: k })) })) });
  const stage = (kind, words, ...pieces) => el('li', {}, el('p', {}, words), equation(kind), flow(...pieces));
  const arrived = el('p', { class: 'verdict' });
  find('#long').append(el('ol', {},
    stage('dy', 'How the loss of this sample changes with each probability. Only the right class counts.', map('dy', { layout: row('dy') })),
    stage('jacobian', 'How each probability changes with each logit: the Jacobian of softmax. On its diagonal y (1 − y), beside it −yₖ yᵢ: every probability depends on every logit.',
      map('jacobian', { layout: square })),
    stage('product', 'The chain rule sums over all probabilities: the row times the matrix. The yₖ of the Jacobian cancels the 1/yₖ of the logarithm.',
      map('product', { layout: row('product') })),
    stage('y-t', 'The same row, without a quotient: the derivative of softmax is not missing, it is in the matrix, and has cancelled.', map('y-t', { layout: row('y-t') }))), arrived);
  live(() => {
    const same = range(K).every((k) => agree(at('product', state.sample, k), at('y-t', state.sample, k), 1));
    arrived.textContent = same ? '✓ Both ways arrive at the same row.' : '✗ The two ways do not arrive at the same row.';
    arrived.classList.toggle('wrong', !same);
  });
}

/** A sample's column of x times its row of dz: the multiplication table of the two. */
const outer = (place, sample) => () => {
  const [x, dz] = [input(place), gradient(place)];
  const n = sample ?? state.sample;
  if (n >= N()) return { columns: [''], rows: [] };
  const above = { label: symbol(dz), cells: [null, ...range(columns(dz)).map((j) => entry(dz, n, j))] };
  const product = (i, j) => entry(`${place}.dW.outer`, i, j, { n, value: at(x, n, i) * at(dz, n, j) });
  const line = (label, i) => ({ label, cells: [entry(x, n, i), ...range(columns(dz)).map((j) => product(i, j))] });
  return { columns: [symbol(x), ...outputLabels(place)], rows: [above, ...inputLabels(place).map(line)] };
};

function backwardOfLinear(place) {
  const [x, dz, dx] = [input(place), gradient(place), handedOn(place)];
  const few = mostN <= 3;
  const samples = few ? range(mostN) : [undefined];
  const tables = samples.flatMap((n, k) => {
    const each = map(`${place}.dW.outer`, { layout: outer(place, n) });
    each.classList.add('outer');
    live(() => { find('figcaption', each).replaceChildren(el('b', {}, `sample ${(n ?? state.sample) + 1}`), ` ${symbol(x)} down, ${symbol(dz)} across`); });
    return [...(k ? [sign('+')] : []), each];
  });
  return [
    el('h4', {}, `${symbol(`${place}.dW`)}: where the transpose comes from`),
    el('p', {}, `A weight touches its unit in every sample, so its gradient is a sum over samples. Each gives a table: its row of ${symbol(x)} stood upright, times its row of ${symbol(dz)}. The tables added up are one product of matrices, with ${symbol(x)} turned over.`),
    flow(map(x), map(dz)),
    flow(...tables, sign(few ? '=' : '+ the others ='), map(`${place}.dW`)),
    ...(has(`${place}.db`) ? [el('h4', {}, symbol(`${place}.db`)), el('p', {}, `A bias touches every sample, with the factor 1: each column of ${symbol(dz)} is summed.`), flow(map(`${place}.db`))] : []),
    ...(has(dx) ? [el('h4', {}, `${symbol(dx)}, handed on`), el('p', {}, `An input touches all units of its own sample, each by the weight between them.`), flow(map(dz), sign('·'), map(`${place}.W`), sign('turned over ='), map(dx))] : []),
  ];
}

function showBackward() {
  for (const place of range(layers.length).reverse()) {
    const layer = layers[place];
    const others = visible(layer.parameters).map((each) => `${place}.d${each}`).filter(has);
    const needs = ['ReLU', 'LeakyReLU'].includes(layer.kind) ? [input(place)] : ['Tanh', 'Sigmoid'].includes(layer.kind) ? [output(place)]
      : ['mask', 'normalized'].map((q) => `${place}.${q}`).filter(has);
    const dx = handedOn(place);
    const pieces = layer.linear ? backwardOfLinear(place) : [flow(map(gradient(place)), ...needs.flatMap((name) => [sign('·'), map(name)]),
      has(dx) && sign('→'), has(dx) && map(dx)), others.length ? flow(...others.map((name) => map(name))) : ''];
    find('#backward .layers').append(layerBox(place, equation(`d${templateOf(layer)}`, (q) => named(place, q), layer.backward), ...pieces));
  }
}

function showUpdate() {
  if (!has('loss_after')) return find('#update').remove() ?? find('a[href="#update"]').parentElement.remove();
  const kind = data.optimizer.includes('nesterov=True') ? 'Nesterov' : data.optimizer.split('(')[0];
  find('#update .formula').append(el('p', {}, el('code', {}, data.optimizer)), equation(kind));
  const changing = Object.keys(now().arrays).filter((name) => name.endsWith('.new')).map((name) => name.replace('.new', ''));
  for (const name of changing.filter((each) => !each.includes('running_'))) {
    const [place, q] = name.split('.');
    const memory = Object.keys(now().arrays).filter((each) => each.startsWith(`${name}.`) && !each.endsWith('.new'));
    find('#update .maps').append(flow(map(name), map(`${place}.d${q}`), ...memory.map((each) => map(each)), sign('→'), map(`${name}.new`)));
  }
  const table = el('table', { class: 'facts' });
  find('#update .losses').append(table);
  live(() => {
    const [before, change, after] = ['loss', 'loss_change', 'loss_after'].map((name) => at(name, 0, 0));
    const line = (words, value, hook) => el('tr', {}, el('th', { scope: 'row' }, words), el('td', { 'data-fact': hook }, text(value, 6)));
    table.replaceChildren(el('tbody', {}, line('the loss before', before, 'before'), line('the change predicted, ∇C · Δθ', change, 'predicted'),
      line('the change there was', after - before, 'change'), line('the loss after', after, 'after')));
  });
}

function showProof() {
  const proved = Object.keys(now().arrays).filter((name) => name.endsWith('.exact')).map(withoutExact);
  const table = el('table', { class: 'facts' });
  find('#proof .verdicts').append(table);
  const head = el('thead', {}, el('tr', {}, ...['gradient', 'shape', 'largest error', ''].map((words) => el(words ? 'th' : 'td', words ? { scope: 'col' } : {}, words))));
  live(() => table.replaceChildren(head, el('tbody', {}, ...proved.map((name) => {
    const error = at(`${name}.error`, 0, 0);
    const holds = error <= data.tolerance;
    return el('tr', { 'data-array': name, class: holds ? undefined : 'wrong' }, el('th', { scope: 'row' }, symbol(name), ' ', el('code', {}, name)),
      el('td', {}, shapeText(name)), el('td', {}, text(error, 2)), el('td', { 'data-holds': holds }, holds ? '✓ right' : '✗ wrong'));
  }))));
  for (const name of proved) {
    find('#proof .maps').append(flow(map(name, { caption: `${symbol(name)}, backward pass` }), sign('='), map(`${name}.exact`, { caption: `${symbol(name)}, complex step` })));
  }
}

// ------------------------------------------------------------------------------------- above all: what to look at

function showHeader() {
  document.title = `${data.title}: one step, every number`;
  find('#title').textContent = document.title;
  const parts = [...layers.map((layer) => layer.name), data.output].join(' → ');
  find('#network').textContent = `${parts}; ${data.optimizer ? `${data.optimizer}, ` : ''}${data.dtype}`;
  const columnsOf = [['x', 'dx'], ...layers.map((layer, place) => [output(place), gradient(place), ...layer.parameters.map((each) => `${place}.d${each}`)])];
  const known = (name) => (has(name) && !name.includes('running_') ? link(name) : '');
  const stack = ([forward, backward, ...more]) => el('span', { class: 'stop' }, el('span', {}, known(forward)), el('span', {}, known(backward)),
    el('span', { class: 'more' }, ...more.flatMap((name) => [known(name), ' '])));
  const heart = el('a', { href: '#heart', class: 'heart' }, 'y − t');
  const end = el('span', { class: 'stop' }, el('span', {}, link('y'), ' → ', link('loss')), el('span', {}, heart), el('span', { class: 'more' }));
  const arrows = () => el('span', { class: 'stop arrows', 'aria-hidden': 'true' }, el('span', {}, '→'), el('span', {}, '←'), el('span', { class: 'more' }));
  const ways = el('span', { class: 'stop ways' }, el('span', {}, 'forward'), el('span', {}, 'backward'), el('span', { class: 'more' }));
  find('#path').append(ways, ...columnsOf.flatMap((each) => [stack(each), arrows()]), end);
  if (data.bug) showBug();
}

function showBug() {
  const first = steps.flatMap((step, s) => Object.keys(step.arrays).filter((name) => differs(name, step)).map((name) => ({ s, name })))[0];
  const box = find('#bug');
  box.hidden = false;
  box.append(el('strong', {}, `With a mistake on purpose, ${data.bug.name}: `), `${data.bug.meaning}. What catches it: ${data.bug.caught_by}. `);
  if (!first) return box.append('In the steps recorded here it changes nothing.');
  const jump = el('a', { href: `#at-${first.name}`, id: 'first' }, `It first shows in ${symbol(first.name)}, in step ${steps[first.s].number}`);
  jump.addEventListener('click', () => chooseStep(first.s));
  box.append(jump, '.');
}

/** The loss of every step as the slider's track; the recorded steps stand at equal distances on it. */
function showCurve() {
  const numbers = steps.map((step) => step.number);
  find('#track').hidden = numbers.length < 2;
  if (numbers.length < 2) return;
  const across = (step) => {
    const k = Math.max(0, Math.min(numbers.length - 2, numbers.findLastIndex((each) => each <= step)));
    return (k + (step - numbers[k]) / (numbers[k + 1] - numbers[k])) / (numbers.length - 1);
  };
  const least = numbers[0];
  const losses = data.losses.map(number).map((loss, step) => [step, loss]).filter(([step, loss]) => step >= least && Number.isFinite(loss));
  const most = losses.reduce((sofar, [, loss]) => Math.max(sofar, loss), 0) || 1;
  const every = Math.ceil(losses.length / 800);
  const points = losses.filter(([step], k) => k % every === 0 || numbers.includes(step)).map(([step, loss]) => `${(across(step) * 1000).toFixed(1)},${(100 - 96 * loss / most).toFixed(1)}`);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [name, value] of Object.entries({ viewBox: '0 0 1000 100', preserveAspectRatio: 'none', 'aria-hidden': 'true' })) svg.setAttribute(name, value);
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  line.setAttribute('points', points.join(' '));
  svg.append(line);
  const marker = el('span', { class: 'marker' });
  find('#curve').append(svg, marker);
  find('#ticks').append(...numbers.map((each) => el('span', {}, `${each}`)));
  live(() => {
    marker.style.left = `${100 * state.step / Math.max(1, steps.length - 1)}%`;
    marker.style.bottom = `${96 * Math.min(1, at('loss', 0, 0) / most) || 0}%`;
  });
}

function showBar() {
  showCurve();
  const [slider, select] = [find('#step'), find('[name=sample]')];
  slider.max = steps.length - 1;
  slider.addEventListener('input', () => chooseStep(+slider.value));
  select.addEventListener('change', () => chooseSample(+select.value));
  live(() => {
    const words = `step ${now().number}, loss ${text(at('loss', 0, 0))}`;
    find('#where').textContent = words;
    slider.value = state.step;
    slider.setAttribute('aria-valuetext', words);
    select.replaceChildren(...range(N()).map((n) => el('option', { value: n }, describe(n))));
    select.value = state.sample;
  });
  const theme = find('#theme');
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const name = () => { theme.textContent = dark() ? 'Light' : 'Dark'; };
  theme.addEventListener('click', () => { document.documentElement.dataset.theme = dark() ? 'light' : 'dark'; name(); });
  name();
  showHiding();
}

const HIDEABLE = ['z', 'a', 'y', 'losses', 'y-t', 'dz', 'dW', 'db', 'da', 'dx', 'dy', 'jacobian'];

function showHiding() {
  const present = new Set(Object.keys(now().arrays).map(quantity));
  for (const q of HIDEABLE.filter((each) => present.has(each))) {
    const box = el('input', { type: 'checkbox', name: 'hide', value: q });
    box.addEventListener('change', () => {
      state.hidden[box.checked ? 'add' : 'delete'](q);
      state.revealed.clear();
      redraw();
    });
    find('#hidden').append(el('label', {}, box, ' ', SYMBOLS[q] ?? q));
  }
  find('#show-all').addEventListener('click', () => {
    for (const box of document.querySelectorAll('[name=hide]')) box.checked = false;
    state.hidden.clear();
    redraw();
  });
}

function chooseStep(step) {
  state.step = step;
  state.sample = Math.min(state.sample, N() - 1);
  redraw();
}

function chooseSample(n) {
  state.sample = n;
  redraw();
}

function redraw() {
  for (const change of changes) change();
  for (const grid of maps) {
    if (!grid.large || grid.seen) draw(grid);
    else grid.stale = true;
  }
  if (state.pointed) point(state.pointed);
}

allFormulas();
for (const box of document.querySelectorAll('section > .equation')) fillMath(box, (q) => (q === 'dlogits' ? gradient(last) : q));
showHeader();
showBar();
showBatch();
showForward();
showOutput();
showHeart();
showBackward();
showUpdate();
showProof();
listen();
