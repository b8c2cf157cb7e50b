/* What stands in each of the seven sections? Their words and equations are in page.html; here they get their maps. */

const describe = (n) => `sample ${n + 1}: class ${classOf(n)}${has('row') ? `, row ${at('row', n, 0)}` : ''}`;
const layerBox = (place, ...pieces) =>
  el('article', { 'data-layer': place }, el('h3', {}, `Layer ${place}: ${layers[place].name}`), ...pieces);
const learned = (parameters) => parameters.filter((name) => !name.startsWith('running_'));

// 1 The batch

function showBatch() {
  range(mostN).forEach(showSample);
  const scaled = steps.some(({ arrays: { raw, x } }) => String(raw ?? x) !== String(x));
  const other = scaled && !data.picture;
  const filled = data.feature_names.some((name) => name.endsWith('missing')) ? '; missing cells filled in' : '';
  const raw = other && map('raw', { caption: `in the data’s units${filled}` });
  if (scaled) find('#batch p').append(' x is standardised: each feature less its mean, divided by its standard deviation in the training data.');
  find('#batch .maps').append(flow(raw, other && sign('standardised →'), map('x'), map('t')));
}

function showSample(n) {
  const button = el('button', { type: 'button' });
  button.addEventListener('click', () => chooseSample(n));
  const picture = data.picture && has('raw') ? el('figure', {}, grid('raw', pixels(n), 'arrays', true)) : undefined;
  const item = el('li', {}, picture, button);
  find('#batch .samples').append(item);
  live(() => {
    item.hidden = n >= N();
    if (item.hidden) return;
    button.textContent = describe(n);
    button.setAttribute('aria-pressed', n === state.sample);
  });
}

/** A sample as a little picture. */
const pixels = (n) => () => {
  const [height, width] = data.picture;
  const row = (r) => ({
    label: `sample ${n + 1}, row ${r + 1}`,
    cells: range(width).map((c) => entry('raw', n, r * width + c)),
  });
  return { columns: counted('', width), rows: n < N() ? range(height).map(row) : [] };
};

// 2 Each layer forward

function showForward() {
  const first = layers.findIndex((layer) => layer.output === 'z');
  if (first >= 0) {
    find('#counting').append(`${symbol(output(first))} is the output of the first linear layer, which is layer ${first} in the code, where it is `,
      el('code', {}, output(first)), ': the code counts all layers, from 0.');
  }
  layers.forEach((layer, place) => {
    const parameters = learned(layer.parameters).map((q) => `${place}.${q}`);
    const signs = layer.linear ? ['·', '+'] : [];
    const pieces = [map(input(place)), ...parameters.flatMap((name, k) => [signs[k] && sign(signs[k]), map(name)])];
    const result = [sign(layer.linear ? '=' : '→'), map(output(place))];
    const kept = remembered(place).map((name) => map(name));
    const formula = equation(kindOf(layer), (q) => named(place, q), layer.forward);
    find('#forward .layers').append(layerBox(place, formula, flow(...pieces, ...kept, ...result)));
  });
}

/** What a layer keeps for the way back, parameters left out. */
function remembered(place) {
  const known = [...layers[place].parameters.map((q) => `${place}.${q}`), output(place)];
  return names().filter((name) => {
    const { place: of, q, kind } = parts(name);
    return of === place && kind === undefined && !q.startsWith('d') && !known.includes(name);
  });
}

function kindOf({ kind, linear }) {
  if (['BatchNorm', 'LayerNorm'].includes(kind)) return 'Normalization';
  return linear ? 'Linear' : kind;
}

// 3 The output

function showOutput() {
  const z = map(output(last), { caption: `${symbol(output(last))}, the logits` });
  const softmax = ['shifted', 'exp', 'sum'].map((name) => has(name) && map(name));
  const signs = ['− max →', 'exp →', 'Σ →'].map((words, k) => softmax[k] && sign(words));
  const chain = softmax.flatMap((piece, k) => [signs[k], piece]);
  const losses = has('losses') ? [sign('→'), map('losses', { caption: 'each loss' }), sign('·')] : [];
  const weight = map('weight', { caption: isPlainMean() ? 'w = 1/N' : 'w' });
  find('#output .maps').append(
    flow(z, ...chain, sign(has('sum') ? '÷ →' : '→'), map('y')),
    flow(has('losses') && map('log_y'), map('t'), ...losses, weight, has('losses') && sign('→'), map('loss')),
  );
  find('#other-loss').hidden = has('losses');
  if (!has('losses')) for (const words of document.querySelectorAll('#output .cross-entropy')) words.remove();
  if (has('sum')) return;
  find('#output .softmax').remove();
  find('#output p').textContent = `${data.output} makes probabilities of the logits, and says how wrong they are.`;
}

// 4 y − t

function showHeart() {
  const dz = gradient(last);
  const next = [...layers[last].parameters.map((q) => `${last}.d${q}`), ...(has(handedOn(last)) ? [handedOn(last)] : [])];
  find('#goes').append(...next.flatMap((name, k) => [k ? ', ' : '', link(name)]));
  const one = map('y-t', { layout: fourRows, beside: false });
  live(() => find('figcaption', one).replaceChildren(describe(state.sample)));
  find('#heart .one').append(one);
  find('#heart .maps').append(flow(sign(''), map('y'), sign('−'), map('t'), sign('='), map('y-t'), sign(isPlainMean() ? '÷ N →' : '· w →'), map(dz)));
  live(() => {
    find('#differs').hidden = !isOther();
    find('#differs').textContent = scalar(`${dz}.error`) <= data.tolerance
      ? `This output layer has another loss, whose gradient is not w · (y − t). Of that loss it is right, as the proof says.`
      : `✗ The ${symbol(dz)} that was computed here is not w · (y − t).`;
  });
  live(() => {
    const [sums, most] = [(n) => total(classes().map((k) => [entry('y-t', n, k)])), range(N()).map(furthest)];
    const even = range(N()).every((n) => agree(sums(n), 0, 1));
    find('#row-sums').textContent = even ? 'Each row sums to 0.' : 'A row sums to 0 if y and t each sum to 1: here not all do.';
    const [here, there] = [most[state.sample], Math.max(...most)];
    find('#little').hidden = !(here < 0.01 && there > 10 * here);
    find('#little').textContent = `From this sample almost nothing is left to learn; from sample ${most.indexOf(there) + 1} the most.`;
  });
  const many = data.class_names.length > 4; // then the maps stand below one another
  find('#heart').classList.toggle('many', many);
  showTheLongWay();
}

/** How far a sample's probabilities are from its targets. */
const furthest = (n) => Math.max(...classes().map((k) => Math.abs(at('y-t', n, k))));

/** Whether every sample counts the same: then its weight is 1/N. */
const isPlainMean = () => steps.every(({ arrays: { weight } }) =>
  weight.every(([value]) => agree(value, 1 / weight.length)));

const share = (n, k) => at('weight', n, 0) * at('y-t', n, k);

/** Whether dz is something else than w · (y − t). */
function isOther() {
  const dz = gradient(last);
  return range(N()).some((n) => classes().some((k) => !agree(at(dz, n, k), share(n, k), 1 / N())));
}

/** The chosen sample: what was said, what was right, and what that makes, under one another. */
function fourRows() {
  const n = state.sample;
  const words = isPlainMean() ? `(y − t)/${N()}` : `${text(at('weight', n, 0))} (y − t)`;
  const dz = gradient(last);
  const row = (name, label, value = () => undefined) => {
    const cells = classes().map((k) => entry(name, n, k, { value: value(k) }));
    const values = cells.map((cell) => valueOf(cell));
    const all = values.reduce((a, b) => a + b);
    const rounded = agree(all, 0, Math.max(...values.map(Math.abs))) ? 0 : all;
    const recorded = !name.endsWith('.share');
    cells.push(recorded ? entry(`${name}.row`, n, 'sum', { value: rounded, plain: true }) : null);
    return { label, spoken: `sample ${n + 1}`, cells };
  };
  const lines = [row('y', 'y'), row('t', 't'), row('y-t', 'y − t')];
  if (isOther()) lines.push(row(`${dz}.share`, words, (k) => share(n, k)), row(dz, `but ${symbol(dz)}`));
  else lines.push(row(dz, words));
  return { columns: [...data.class_names, 'sum'], rows: lines };
}

function showTheLongWay() {
  if (!has('sum') || !has('losses')) { // it is the way of softmax and cross-entropy
    find('#long-way').closest('p').remove();
    find('#long').remove();
    return;
  }
  const K = data.class_names.length;
  const row = (name) => () => {
    const cells = classes().map((k) => entry(name, state.sample, k));
    return { columns: data.class_names, rows: [{ label: `sample ${state.sample + 1}`, cells }] };
  };
  const square = () => ({
    columns: data.class_names.map((name) => `z of ${name}`),
    rows: data.class_names.map((name, k) => {
      const cells = classes().map((i) => entry('jacobian', state.sample * K + k, i, { row: k }));
      return { label: `y of ${name}`, cells };
    }),
  });
  for (const place of document.querySelectorAll('#long [data-map]')) {
    const name = place.dataset.map;
    place.append(map(name, { layout: name === 'jacobian' ? square : row(name) }));
  }
  if (data.bug) {
    find('#long-bug').hidden = false;
    find('#long-bug').textContent = `This is what is right. The mistake of this page, ${data.bug.name}: ${data.bug.meaning}.`;
  }
  const arrived = find('#long .verdict');
  live(() => {
    const n = state.sample;
    const same = classes().every((k) => agree(at('product', n, k), at('y-t', n, k), 1));
    arrived.textContent = same ? '✓ Both ways arrive at the same row.' : '✗ The two ways arrive at different rows.';
    arrived.classList.toggle('wrong', !same);
  });
  find('#long-way').addEventListener('change', ({ target }) => { find('#long').hidden = !target.checked; });
}

// 5 Each layer backward

function showBackward() {
  for (const place of range(layers.length).reverse()) {
    const layer = layers[place];
    const formula = equation(`d${kindOf(layer)}`, (q) => named(place, q), layer.backward);
    const pieces = layer.linear ? backwardOfLinear(place) : backwardOfOther(place);
    find('#backward .layers').append(layerBox(place, formula, ...pieces));
  }
}

function backwardOfOther(place) {
  const { kind, parameters } = layers[place];
  const [z, a] = [input(place), output(place)];
  const slopes = { // of a map, and the words before it and after it
    ReLU: ['· 1{', z, '> 0} '], LeakyReLU: ['· s where', z, '≤ 0 '], Tanh: ['· (1 −', a, '²) '],
    Sigmoid: ['· a (1 − a) with a =', a, ''], Dropout: ['·', `${place}.mask`, ''],
  };
  const [before, name, after] = slopes[kind] ?? [];
  const factors = name ? [sign(before), map(name)] : [z, ...remembered(place)].flatMap((each) => [sign('with'), map(each)]);
  const handed = has(handedOn(place)) ? [sign(`${after ?? ''}→`), map(handedOn(place))] : [];
  const gradients = learned(parameters).map((q) => `${place}.d${q}`).filter(has);
  return [flow(map(gradient(place)), ...factors, ...handed), flow(...gradients.map((name) => map(name)))];
}

function backwardOfLinear(place) {
  const [x, dz, dx] = [input(place), gradient(place), handedOn(place)];
  const box = fill(copy(find('#backward-of-linear')), (q) => named(place, q));
  const [dW, db, handed] = box.children;
  const few = mostN <= 3;
  const tables = (few ? range(mostN) : [undefined]).flatMap((n, k) => [k > 0 && sign('+'), outerTable(place, n)]);
  dW.append(flow(map(x), map(dz)), flow(...tables, sign(few ? '=' : '+ the others ='), map(`${place}.dW`)));
  if (has(`${place}.db`)) db.append(flow(map(`${place}.db`)));
  else db.remove();
  if (has(dx)) handed.append(flow(map(dz), sign('·'), map(`${place}.W`), sign('turned over ='), map(dx)));
  else handed.remove();
  if (place === 0 && has(dx)) find('h4', handed).replaceChildren(`${symbol(dx)}, at the features`);
  if (place === 0 && has(dx)) find('p', handed).append(' No layer is before this one, so a training leaves it out.');
  return [box];
}

/** A sample's row of x stood upright times its row of dz: the multiplication table of the two. */
function outerTable(place, sample) {
  const [x, dz] = [input(place), gradient(place)];
  const layout = () => {
    const n = sample ?? state.sample;
    if (n >= N()) return { columns: [''], rows: [] };
    const across = range(columns(dz));
    const value = (i, j) => at(x, n, i) * at(dz, n, j);
    const product = (i) => across.map((j) => entry(`${place}.dW.outer`, i, j, { n, value: value(i, j) }));
    const above = { label: symbol(dz), cells: [null, ...across.map((j) => entry(dz, n, j))] };
    const lines = inputLabels(place).map((label, i) => ({ label, cells: [entry(x, n, i), ...product(i)] }));
    return { columns: [symbol(x), ...outputLabels(place)], rows: [above, ...lines] };
  };
  const made = map(`${place}.dW.outer`, { layout });
  made.classList.add('outer');
  live(() => {
    made.hidden = (sample ?? 0) >= N();
    const name = el('b', {}, `sample ${(sample ?? state.sample) + 1}`);
    find('figcaption', made).replaceChildren(name, ` ${symbol(x)} down, ${symbol(dz)} across`);
  });
  return made;
}

// 6 The update

function showUpdate() {
  if (!has('loss_after')) {
    find('#update').remove();
    find('#contents a[href="#update"]').parentElement.remove();
    return;
  }
  find('#update .formula').append(el('p', {}, el('code', {}, data.optimizer)), equation(data.update, (q) => q, ''));
  for (const name of names().filter((other) => other.endsWith('.new') && !other.includes('running_'))) {
    const theta = name.replace('.new', '');
    const memory = names().filter((other) => other.startsWith(`${theta}.`) && other !== name);
    const before = [theta, theta.replace('.', '.d'), ...memory].map((other) => map(other));
    find('#update .maps').append(flow(...before, sign('→'), map(name)));
  }
  const facts = {
    before: ['the loss before', () => scalar('loss')],
    predicted: ['the change predicted, ∇C · Δθ', () => scalar('loss_change')],
    change: ['the change there was', () => scalar('loss_after') - scalar('loss')],
    after: ['the loss after', () => scalar('loss_after')],
  };
  const line = ([hook, [words, value]]) =>
    el('tr', {}, el('th', { scope: 'row' }, words), el('td', { 'data-fact': hook }, text(value(), 6)));
  live(() => find('#update .facts tbody').replaceChildren(...Object.entries(facts).map(line)));
}

// 7 The proof

function showProof() {
  const proved = names().filter((name) => name.endsWith('.exact')).map(withoutExact);
  const line = (name) => {
    const error = scalar(`${name}.error`);
    const holds = error <= data.tolerance;
    return el('tr', { 'data-array': name, class: error > data.tolerance ? 'wrong' : undefined },
      el('th', { scope: 'row' }, symbol(name), ' ', el('code', {}, name)), el('td', {}, shapeText(name)),
      el('td', {}, text(error, 2)), el('td', { 'data-holds': holds }, holds ? '✓ right' : Number.isNaN(error) ? 'nothing to compare' : '✗ wrong'));
  };
  live(() => find('#proof .facts tbody').replaceChildren(...proved.map(line)));
  for (const name of proved) {
    const said = map(name, { caption: `${symbol(name)}, backward pass`, beside: false });
    const exact = map(`${name}.exact`, { caption: `${symbol(name)}, complex step`, beside: false });
    find('#proof .maps').append(flow(said, exact));
  }
}
