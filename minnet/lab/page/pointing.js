/* What does the page say of the entry that one points at? By mouse, finger or keyboard alone. */

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
