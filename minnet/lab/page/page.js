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

// The sections

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

// Above all: what to look at

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
