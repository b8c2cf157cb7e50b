/* How does an array look? A table of coloured entries, drawn when it is seen, each of which knows what it is. */

const find = (selector, root = document) => root.querySelector(selector);
const changes = []; // what is to be done when another step or sample is chosen

/** Do something now, and again whenever another step or sample is chosen. */
function live(change) {
  changes.push(change);
  change();
}

/** An element; its children are elements or text, and text stays text. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

const link = (name, words = symbol(name)) => el('a', { href: `#at-${name}` }, words);
const sign = (words) => el('span', { class: 'sign' }, words);

/** Maps beside one another; a sign stays with the map that it stands before. */
function flow(...pieces) {
  const row = el('div', { class: 'flow' });
  for (const piece of pieces.filter(Boolean)) {
    const open = row.lastChild?.lastChild.className === 'sign';
    if (open) row.lastChild.append(piece);
    else row.append(el('div', {}, piece));
  }
  return row;
}

// Equations

function math(tag, ...children) {
  const element = document.createElementNS('http://www.w3.org/1998/Math/MathML', tag);
  element.append(...children);
  return element;
}

/** "dW₂" as mathematics: d and W, and 2 below. */
function letters(name) {
  const [, word, index, primes] = /^(.*?)([₀-₉]*)(′*)$/u.exec(symbol(name));
  const single = word.match(/\P{M}\p{M}*/gu).map((letter) => math('mi', letter));
  const below = [...index].map((digit) => '₀₁₂₃₄₅₆₇₈₉'.indexOf(digit)).join('');
  const base = math('mrow', ...(word.length < 4 ? single : [math('mtext', word)]));
  const whole = below ? math('msub', base, math('mn', below)) : base;
  return primes ? math('msup', whole, math('mo', primes)) : whole;
}

/** Give each quantity of a text its symbol, and in an equation its shape under it. */
function fill(root, resolve) {
  for (const place of root.querySelectorAll('[data-q]')) {
    const name = resolve(place.dataset.q);
    const turned = 'transposed' in place.dataset;
    const letter = turned ? math('msup', letters(name), math('mo', '⊤')) : letters(name);
    const shape = math('mtext');
    const below = () => (turned ? [...now().shapes[name]].reverse().join(' × ') : shapeText(name));
    if (place.localName !== 'mi') place.replaceChildren(symbol(name));
    else if ('bare' in place.dataset || !has(name)) place.replaceWith(letter);
    else {
      place.replaceWith(math('munder', letter, shape));
      live(() => { shape.textContent = below(); });
    }
  }
  return root;
}

/** The equation of a kind of layer, from the page's templates, or what its author says of it. */
function equation(kind, resolve, words) {
  const template = find(`template[data-equation="${CSS.escape(kind)}"]`);
  if (!template) return el('p', { class: 'words' }, words);
  return fill(el('div', { class: 'equation', 'data-number': template.dataset.number }, copy(template)), resolve);
}

const copy = (template) => template.content.cloneNode(true);

// What the colours and the blanks are

const extents = new Map();

/** The number that has the full colour: arrays that are to be compared share it. */
function extent(name) {
  const { place, q } = parts(name);
  if (['y', 't', 'y-t', 'product'].includes(q)) return 1;
  if (q === 'a' && ['ReLU', 'LeakyReLU', 'Dropout'].includes(layers[place].kind)) return extent(input(place));
  const shared = name.replace(/\.(exact|outer|new|share)$/, '');
  const key = `${state.step}|${shared}`;
  if (!extents.has(key)) {
    const alike = [now().arrays[shared], now().arrays[`${shared}.exact`], now().right[shared]];
    const sizes = alike.flatMap((array) => array?.flat() ?? []).map(Math.abs).filter(Number.isFinite);
    extents.set(key, sizes.reduce((most, size) => Math.max(most, size), 0) || 1);
  }
  return extents.get(key);
}

const identity = ({ name, n = '', i, j }) => `${withoutExact(name)}|${n}|${i}|${j}`;
const isBlank = (name) => state.hidden.has(quantity(name)) || state.hidden.has(name.replace(/\.(exact|outer)$/, ''));
const isHidden = (shown) => isBlank(shown.name) && !state.revealed.has(`${state.step}|${identity(shown)}`);

/** Whether the program with a bug has other numbers here than the right one. */
function differs(name, step = now()) {
  const [wrong, right] = [step.arrays[name], step.right[name]];
  if (!wrong || !right) return false;
  if (wrong.length !== right.length || wrong[0].length !== right[0].length) return true;
  const size = Math.max(...right.map((row) => Math.max(...row.map(Math.abs))));
  return wrong.some((row, i) => row.some((value, j) => !agree(value, right[i][j], size)));
}

// Maps

const maps = [];
const linked = new Set(); // names that links lead to: to the first map of each
const LARGE = 1000; // entries; larger maps wait until they are seen

/** An array as it is: rows and columns of entries, with their names. */
const whole = (name) => () => ({
  columns: columnLabels(name),
  rows: rowLabels(name).map((label, i) => {
    const cells = range(columns(name)).map((j) => entry(name, i, j));
    return { label, cells, sample: bySample(name) ? i : undefined };
  }),
});

/** A map of an array with its caption, and with it the right program's, where the two differ. */
function map(name, { layout = whole(name), caption = symbol(name), beside = true } = {}) {
  const figure = el('figure', { id: linked.has(name) ? undefined : `at-${name}`, tabindex: -1 });
  linked.add(name);
  const legend = el('figcaption');
  const other = beside && steps.some((step) => name in step.right) ? grid(name, layout, 'right') : undefined;
  figure.append(legend, el('div', { class: 'versions' }, grid(name, layout, 'arrays'), other));
  live(() => {
    const error = has(`${name}.error`) ? scalar(`${name}.error`) : 0;
    const wrong = error > data.tolerance; // NaN: nothing was compared
    const unlike = Boolean(other) && differs(name);
    figure.classList.toggle('wrong', wrong || unlike);
    for (const each of figure.querySelectorAll('.version')) each.hidden = !unlike;
    if (other) other.hidden = !unlike;
    legend.replaceChildren(el('b', {}, caption), ...described(name, caption));
    if (wrong) legend.append(el('strong', {}, ` ✗ wrong, relative error ${text(error, 2)}`));
    else if (unlike) legend.append(el('strong', {}, ' ✗ not what it should be'));
  });
  return figure;
}

/** An array's name in the code, its shape, and which number has the full colour. */
function described(name, caption) {
  const code = name === caption || parts(name).kind ? [] : [' ', el('code', {}, name)];
  const scale = isBlank(name) || name === 't' ? '' : ` ±${text(extent(name), 3)}`;
  return [...code, ' ', el('small', {}, shapeText(name) + scale)];
}

/** A table of entries; it is one stop of the Tab key, and within it the arrow keys lead on. */
function grid(name, layout, version = 'arrays', picture = false) {
  const right = version === 'right';
  const table = el('table', { role: 'grid', 'data-array': name, 'data-version': right ? version : undefined });
  const words = right ? 'right' : `with ${data.bug?.name ?? 'the mistake'}`;
  const box = el('div', { class: 'scroll' }, el('p', { class: `version ${right ? 'right' : ''}`, hidden: '' }, words), table);
  const { rows: lines, columns: labels } = layout();
  const made = { name, layout, version, picture, table, cells: new Map(), form: '', stale: true, seen: false };
  made.large = lines.length * labels.length > LARGE;
  maps.push(made);
  whenSized.observe(box);
  whenSized.observe(table);
  if (made.large) {
    box.style.minHeight = `min(${lines.length * (lines.length > 40 ? 8 : 12) + 2}px, 34rem)`;
    box.grid = made;
    whenSeen.observe(box);
  } else draw(made);
  return box;
}

/** Mark a box of which a part cannot be seen, so that its edge fades there. */
function markEdges(box) {
  box.classList.toggle('more-right', box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  box.classList.toggle('more-below', box.scrollTop + box.clientHeight < box.scrollHeight - 2);
}

const whenSized = new ResizeObserver((seen) => { for (const { target } of seen) markEdges(target.closest('.scroll')); });
document.addEventListener('scroll', ({ target }) => target.classList?.contains('scroll') && markEdges(target), true);

const whenSeen = new IntersectionObserver((boxes) => {
  for (const { target, isIntersecting } of boxes) {
    target.grid.seen = isIntersecting;
    if (isIntersecting && target.grid.stale) draw(target.grid);
  }
}, { rootMargin: '400px' });

/** Write an array's numbers into its map; the table itself is made anew only if its shape is another one. */
function draw(made) {
  const { columns: labels, rows: lines } = made.layout();
  const form = `${lines.length} ${labels.length}`;
  if (made.form !== form) build(made, lines, labels);
  made.form = form;
  made.stale = false;
  made.cells.clear();
  const right = made.version === 'right' ? ', right' : '';
  made.table.setAttribute('aria-label', `${symbol(made.name)}, ${shapeText(made.name)}${right}`);
  lines.forEach((line, r) => {
    const row = made.table.tBodies[0].rows[r];
    row.classList.toggle('chosen', line.sample === state.sample);
    row.cells[0].textContent = line.label;
    line.cells.forEach((shown, c) => {
      const where = [line.spoken ?? line.label, labels[c]].filter((words) => words !== '').join(', ');
      if (shown) paint(made, row.cells[c + 1], shown, `${symbol(shown.name)}${right}, ${where}`);
    });
  });
}

/** A name may be broken where its words end, and anywhere only if they are too long. */
function breakable(label) {
  const words = label.split(/(?<=[_=\s])/);
  const pieces = words.flatMap((word) => [word, el('wbr')]);
  return words.some((word) => word.length > 14) ? [el('span', { class: 'long' }, ...pieces)] : pieces;
}

/** Make the table's rows and columns, without numbers in them. */
function build(made, lines, labels) {
  if (made.table.contains(state.pointed)) letGo();
  const head = (label, scope, words = [label]) => (label === '' ? el('td') : el('th', { scope }, ...words));
  const above = el('tr', {}, el('td'), ...labels.map((label) => head(label, 'col', breakable(label))));
  const row = ({ label, cells }) => el('tr', {}, head(label, 'row'), ...cells.map(() => el('td')));
  made.numbers = lines.length <= 17 && labels.length <= 13 && !made.picture;
  made.table.className = made.picture ? 'picture' : made.numbers ? 'numbers' : 'colours';
  made.table.classList.toggle('tall', lines.length > 40);
  made.table.replaceChildren(el('thead', {}, above), el('tbody', {}, ...lines.map(row)));
  const first = lines[0]?.cells.findIndex(Boolean);
  if (first >= 0) made.table.tBodies[0].rows[0].cells[first + 1].tabIndex = 0;
}

/** Show an entry in its cell: its colour, its number if there is room, and what a screen reader says. */
function paint(made, cell, shown, where) {
  const hidden = isHidden(shown);
  const value = hidden ? NaN : valueOf(shown, made.version);
  const share = Number.isFinite(value) && !shown.plain ? Math.min(1, Math.abs(value) / extent(shown.name)) : 0;
  made.cells.set(identity(shown), cell);
  cell.entry = shown;
  Object.assign(cell.dataset, { array: shown.name, i: shown.row ?? shown.i, j: shown.j });
  cell.classList.toggle('hidden', hidden);
  cell.classList.toggle('negative', value < 0);
  cell.classList.toggle('odd', !hidden && !Number.isFinite(value));
  cell.style.setProperty('--share', +share.toFixed(3));
  if (made.numbers) cell.textContent = hidden ? '?' : text(value);
  cell.setAttribute('aria-label', `${where}: ${hidden ? 'hidden' : text(value, 6)}`);
}
