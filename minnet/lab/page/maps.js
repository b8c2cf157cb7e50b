/* How does an array look? A table of coloured entries, drawn when it is seen, each of which knows what it is. */

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

// Maps

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
