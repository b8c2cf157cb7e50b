/* What does the page say of the entry that one points at, be it by mouse, by finger or by keyboard? */

const panel = find('#panel');
const MOST_TERMS = 6; // of a sum that is written out; the others are counted

/** Point at a cell, or with null at none: light up what made its entry, and write that out. */
function point(cell) {
  for (const lit of document.querySelectorAll('.pointed, .lit1, .lit2')) lit.classList.remove('pointed', 'lit1', 'lit2');
  state.pointed = cell;
  if (!cell) state.held = null;
  panel.classList.toggle('empty', !cell);
  panel.classList.toggle('held', state.held !== null);
  find('#close').hidden = find('#check').hidden = !cell;
  find('#sum').replaceChildren();
  delete find('#sum').dataset.holds;
  if (!cell) return;
  cell.classList.add('pointed');
  showSum(cell);
}

const letGo = () => point(null);

function light(shown, role) {
  for (const made of maps) if (made.version === 'arrays') made.cells.get(identity(shown))?.classList.add(`lit${role}`);
}

/** Say what the entry is, write out what makes it, and hold the two against each other. */
function showSum(cell) {
  const shown = cell.entry;
  const { name, i, j, value } = shown;
  const hidden = isHidden(shown);
  const right = cell.closest('table').dataset.version === 'right';
  const provable = has(`${withoutExact(name)}.exact`) && !right && !hidden;
  const inProof = Boolean(cell.closest('#proof'));
  const where = cell.getAttribute('aria-label').replace(/: [^:]*$/, '');
  const code = value === undefined ? [' ', el('code', {}, inCode(name, i, j))] : [];
  const number = hidden ? 'hidden: click it, or press Enter' : text(valueOf(shown, right ? 'right' : 'arrays'), 10);
  find('#sum').append(el('p', {}, el('b', {}, where), ...code, ' = ', el('span', { class: 'value' }, number)));
  const formula = right ? undefined : formulas[name]?.(i, j, shown);
  if (formula) writeOut(formula, shown, hidden);
  const words = { exact: 'Made by forward passes alone; no sum of the backward pass is in it.',
    velocity: 'Made of μ times the velocity before this step (0 before the first), and the gradient.' }[parts(name).kind];
  if (words) find('#sum').append(el('p', {}, words));
  if (provable && (state.check || inProof)) find('#sum').append(...proofOf(shown));
  find('#check').hidden = !provable || inProof;
}

/** Write out what makes an entry, and say if it makes something else than what was recorded. */
function writeOut(formula, shown, hidden) {
  const recorded = valueOf(shown);
  const box = el('p', { class: 'written' });
  if (formula.terms) writeTerms(box, formula);
  else formula.parts.reduce((role, part) => role + put(box, part, role), 1);
  const value = formula.terms ? formula.sign * total(formula.terms) : formula.value;
  const size = formula.size ?? (formula.terms ?? []).reduce((sofar, term) => sofar + Math.abs(product(term)), 0);
  const holds = agree(value, recorded, size);
  const rounded = recorded === 0 && holds; // what is rounding alone is shown as 0
  box.append(hidden ? ' = ?' : ` = ${text(rounded ? 0 : value, 6)}`);
  find('#sum').append(box);
  if (rounded && value !== 0) find('#sum').append(el('p', {}, el('small', {}, `but for rounding, ${text(value, 4)}`)));
  find('#sum').dataset.holds = holds;
  const words = `✗ This makes ${text(value, 10)}; what was recorded is ${text(recorded, 10)}.`;
  if (!holds && !hidden) find('#sum').append(el('p', { class: 'verdict wrong' }, words));
}

/** Write words, a number, or an entry as a factor of that role, which lights up; how many factors that were. */
function put(box, part, role) {
  if (typeof part === 'string') box.append(part);
  if (typeof part === 'string') return 0;
  const known = typeof part === 'number';
  const value = factor(part);
  const words = !known && isHidden(part) ? '?' : text(value, 6);
  const bracket = words.startsWith('−') && /[·+−/] ?$/.test(box.textContent);
  box.append(el('span', known ? {} : { class: `factor${Math.min(2, role)}` }, bracket ? `(${words})` : words));
  if (!known) light(part, Math.min(2, role));
  return known ? 0 : 1;
}

/** The largest terms of a sum in their order, and of the others how many there are and what they make. */
function writeTerms(box, { terms, sign: before }) {
  const sizes = terms.map((term) => Math.abs(product(term)));
  const least = [...sizes].sort((a, b) => b - a)[MOST_TERMS - 1];
  const all = terms.length <= MOST_TERMS + 2;
  const kept = all ? terms : terms.filter((_, k) => sizes[k] >= least).slice(0, MOST_TERMS);
  const others = terms.filter((term) => !kept.includes(term));
  if (before < 0) box.append('−(');
  kept.forEach((term, k) => {
    if (k) box.append(' + ');
    term.forEach((part, f) => {
      if (f) box.append(' · ');
      put(box, part, f + 1);
    });
  });
  if (others.length) {
    box.append(` + (${others.length} smaller terms: `);
    put(box, others.flat().some(isHidden) ? '?' : total(others));
    box.append(')');
    for (const term of others) term.forEach((part, f) => light(part, Math.min(2, f + 1)));
  }
  if (before < 0) box.append(')');
}

/** The backward pass and the complex step side by side, with all their digits. */
function proofOf({ name, i, j }) {
  const exact = `${withoutExact(name)}.exact`;
  const gradients = names().filter((other) => /\.d(?!z|a).*\.exact$/.test(other));
  const largest = (array) => now().arrays[array].flat().reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0);
  const size = Math.max(largest(exact), 1e-3 * Math.max(0, ...gradients.map(largest))); // as in minnet/lab/record.py
  const [said, slope] = [at(withoutExact(name), i, j), at(exact, i, j)];
  const none = Number.isNaN(slope); // on a kink
  const holds = none || agree(said, slope, size);
  const words = none ? 'On a kink there is no slope.' : holds ? '✓ They agree.' : '✗ They differ.';
  const line = (words, value) => el('p', { class: 'digits' }, el('span', {}, words), el('span', {}, value));
  return [
    line('backward pass', text(said, 15)),
    line('complex step', text(slope, 15)),
    line('difference', text(said - slope, 3)),
    el('p', { class: holds ? 'verdict' : 'verdict wrong', 'data-holds': holds }, words),
  ];
}

// Mouse, finger and keyboard

/** Click or Enter: a blank is revealed; any other entry is held, or let go again. */
function press(cell) {
  if (isHidden(cell.entry)) {
    state.revealed.add(`${state.step}|${identity(cell.entry)}`);
    redraw();
  } else state.held = state.held === cell ? null : cell;
  moveTo(cell);
  point(cell);
}

/** One entry of each map can be reached by Tab, from there the arrow keys lead on. */
function moveTo(cell) {
  for (const old of cell.closest('table').querySelectorAll('[tabindex="0"]')) old.removeAttribute('tabindex');
  cell.tabIndex = 0;
  if (document.activeElement !== cell) cell.focus();
}

function neighbour(cell, key) {
  const entries = [...cell.parentElement.cells].filter((other) => other.entry);
  const lines = [...cell.closest('tbody').rows];
  const inLine = (away) => lines[lines.indexOf(cell.parentElement) + away]?.cells[cell.cellIndex];
  const beside = (away) => entries[entries.indexOf(cell) + away];
  const ways = {
    ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), ArrowUp: () => inLine(-1), ArrowDown: () => inLine(1),
    Home: () => entries[0], End: () => entries.at(-1),
  };
  return ways[key]?.();
}

function onKey(event) {
  if (event.key === 'Escape') letGo();
  if (event.key === 'Escape') find('#hide').open = false;
  const cell = event.target.closest('td[data-j]');
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = neighbour(cell, event.key);
  if (next?.entry && state.held) point(state.held = next);
  if (next?.entry) moveTo(next);
  if (event.key === 'Enter' || event.key === ' ') press(cell);
  if (event.key === 'c' && !find('#check').hidden) find('#check').click();
  if (/^(Arrow|Home|End|Enter| )/.test(event.key)) event.preventDefault();
}

function listen() {
  const onCell = (handler) => (event) => {
    const cell = event.target.closest?.('td[data-j]');
    if (cell) handler(cell, event);
  };
  let rest = ''; // where the pointer was last; if it still is, the page has moved under it
  document.addEventListener('pointermove', ({ screenX, screenY }) => { rest = `${screenX} ${screenY}`; });
  document.addEventListener('pointerover', onCell((cell, { screenX, screenY }) => {
    if (!state.held && rest !== `${screenX} ${screenY}`) point(cell);
  }));
  document.addEventListener('focusin', onCell((cell) => state.held || point(cell)));
  document.addEventListener('click', onCell(press));
  document.addEventListener('keydown', onKey);
  document.addEventListener('click', ({ target }) => { if (!target.closest('#hide')) find('#hide').open = false; });
  find('#close').addEventListener('click', letGo);
  find('#check').addEventListener('click', ({ currentTarget }) => {
    state.check = !state.check;
    currentTarget.setAttribute('aria-pressed', state.check);
    if (state.pointed) point(state.pointed);
  });
}
