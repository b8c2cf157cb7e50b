/* What makes an entry of an array? A sum, or other words, of entries of other arrays, to be held against it. */

const formulas = {}; // by an array's name: what makes its entry i, j

const sum = (terms, sign = 1) => ({ terms, sign }); // a list of terms, each a list of factors
const written = (value, ...parts) => ({ value, parts }); // words, numbers and entries, and what they make
const isNumber = (part) => typeof part !== 'string';
const difference = (value, ...parts) => ({ ...written(value, ...parts), size: sizeOf(parts) }); // rounded as its parts are
const factor = (part) => (typeof part === 'number' ? part : valueOf(part));
const product = (term) => term.reduce((sofar, part) => sofar * factor(part), 1);
const sizeOf = (parts) => Math.max(...parts.filter(isNumber).map((part) => Math.abs(factor(part))));
const total = (terms) => terms.reduce((sofar, term) => sofar + product(term), 0);

function formulasOfLinear(place) {
  const [x, z, dz, dx] = [input(place), output(place), gradient(place), handedOn(place)];
  const [W, b] = [`${place}.W`, `${place}.b`];
  const bias = (j) => (has(b) ? [[entry(b, 0, j)]] : []);
  formulas[z] = (n, j) => sum([...range(columns(x)).map((i) => [entry(x, n, i), entry(W, i, j)]), ...bias(j)]);
  formulas[`${place}.dW`] = (i, j) => sum(range(N()).map((n) => [entry(x, n, i), entry(dz, n, j)]));
  formulas[`${place}.dW.outer`] = (i, j, { n }) => sum([[entry(x, n, i), entry(dz, n, j)]]);
  formulas[`${place}.db`] = (_, j) => sum(range(N()).map((n) => [entry(dz, n, j)]));
  formulas[dx] = (n, i) => sum(range(columns(dz)).map((j) => [entry(dz, n, j), entry(W, i, j)]));
}

/** Of an activation: what it makes of z. */
const ACTIVATIONS = {
  ReLU: (z) => written(Math.max(0, factor(z)), 'max(0, ', z, ')'),
  LeakyReLU: (z, s) => sum([[factor(z) > 0 ? 1 : s, z]]),
  Tanh: (z) => written(Math.tanh(factor(z)), 'tanh(', z, ')'),
  Sigmoid: (z) => written(1 / (1 + Math.exp(-factor(z))), '1 / (1 + exp(0 − ', z, '))'),
};

/** And how the gradient at its output meets its slope. */
const SLOPES = {
  ReLU: (da, z) => written(factor(z) > 0 ? factor(da) : 0, da, ' · 1{', z, ' > 0}'),
  LeakyReLU: (da, z, a, s) => sum([[da, factor(z) > 0 ? 1 : s]]),
  Tanh: (da, z, a) => written(factor(da) * (1 - factor(a) ** 2), da, ' · (1 − ', a, '²)'),
  Sigmoid: (da, z, a) => written(factor(da) * factor(a) * (1 - factor(a)), da, ' · ', a, ' · (1 − ', a, ')'),
};

function formulasOfActivation(place, { kind, slope }) {
  const [z, a, da] = [input(place), output(place), gradient(place)];
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
    const values = ofLayer ? range(columns(x)).map((k) => value(n, k)) : range(N()).map((m) => value(m, j));
    return values.reduce((a, b) => a + b) / values.length;
  };
  const g = (n, j) => at(gamma, 0, j) * at(da, n, j);
  const hat = (n, j) => at(normalized, n, j);
  formulas[normalized] = (n, j) => {
    const middle = mean(n, j, (m, k) => at(x, m, k));
    const value = (at(x, n, j) - middle) * factor(scaled(n, j));
    return difference(value, '(', entry(x, n, j), ' − ', middle, ') · ', scaled(n, j));
  };
  formulas[output(place)] = (n, j) => sum([[entry(gamma, 0, j), entry(normalized, n, j)], [entry(beta, 0, j)]]);
  formulas[`${place}.dgamma`] = (_, j) => sum(range(N()).map((n) => [entry(da, n, j), entry(normalized, n, j)]));
  formulas[`${place}.dbeta`] = (_, j) => sum(range(N()).map((n) => [entry(da, n, j)]));
  formulas[handedOn(place)] = (n, j) => {
    const [first, second] = [mean(n, j, g), mean(n, j, (m, k) => g(m, k) * hat(m, k))];
    const value = factor(scaled(n, j)) * (g(n, j) - first - hat(n, j) * second);
    const last = [' − ', entry(normalized, n, j), ' · ', second, ')'];
    return written(value, scaled(n, j), ' · (', entry(gamma, 0, j), ' · ', entry(da, n, j), ' − ', first, ...last);
  };
}

const classes = () => range(columns('y'));

function formulasOfSoftmax() {
  const z = output(last);
  formulas.shifted = (n, k) => {
    const most = classes().reduce((best, j) => (at(z, n, j) > at(z, n, best) ? j : best), 0);
    return difference(at(z, n, k) - at(z, n, most), entry(z, n, k), ' − ', entry(z, n, most));
  };
  formulas.exp = (n, k) => written(Math.exp(at('shifted', n, k)), 'exp(', entry('shifted', n, k), ')');
  formulas.sum = (n) => sum(classes().map((k) => [entry('exp', n, k)]));
  formulas.y = (n, k) => written(at('exp', n, k) / at('sum', n, 0), entry('exp', n, k), ' / ', entry('sum', n, 0));
  formulas.log_y = (n, k) => {
    const value = at('shifted', n, k) - Math.log(at('sum', n, 0));
    return difference(value, entry('shifted', n, k), ' − log ', entry('sum', n, 0));
  };
}

function formulasOfLoss() {
  const right = (n) => classes().filter((k) => at('t', n, k) !== 0);
  if (has('losses')) {
    formulas.losses = (n) => sum(right(n).map((k) => [entry('t', n, k), entry('log_y', n, k)]), -1);
    formulas.loss = () => sum(range(N()).map((n) => [entry('weight', n, 0), entry('losses', n, 0)]));
  }
  formulas['y-t'] = (n, k) => difference(at('y', n, k) - at('t', n, k), entry('y', n, k), ' − ', entry('t', n, k));
  formulas[gradient(last)] = (n, k) => sum([[entry('weight', n, 0), entry('y-t', n, k)]]);
  formulas[`${gradient(last)}.share`] = formulas[gradient(last)];
  for (const name of ['y', 't', 'y-t', gradient(last)]) {
    formulas[`${name}.row`] = (n) => sum(classes().map((k) => [entry(name, n, k)]));
  }
}

function formulasOfTheLongWay() {
  const K = data.class_names.length;
  formulas.dy = (n, k) => written(-at('t', n, k) / at('y', n, k), '−', entry('t', n, k), ' / ', entry('y', n, k));
  formulas.jacobian = (row, i) => {
    const [n, k] = [Math.floor(row / K), row % K];
    const [yk, yi] = [entry('y', n, k), entry('y', n, i)];
    if (k === i) return written(factor(yk) * (1 - factor(yk)), yk, ' · (1 − ', yk, ')');
    return written(-factor(yk) * factor(yi), '−', yk, ' · ', yi);
  };
  formulas.product = (n, i) => sum(classes().map((k) => [entry('dy', n, k), entry('jacobian', n * K + k, i)]));
}

/** Of an optimizer that keeps more than a velocity the page shows what it keeps, and no formula. */
function formulasOfUpdate() {
  if (data.update !== 'SGD') return;
  const { lr } = data;
  for (const name of names().filter((other) => other.endsWith('.new'))) {
    const [theta, v] = [name.replace('.new', ''), name.replace('.new', '.velocity')];
    formulas[name] = (i, j) => {
      const value = at(theta, i, j) - lr * at(v, i, j);
      return difference(value, entry(theta, i, j), ' − ', lr, ' · ', entry(v, i, j));
    };
  }
}

function allFormulas() {
  layers.forEach((layer, place) => {
    if (layer.linear) formulasOfLinear(place);
    else if (layer.kind in ACTIVATIONS) formulasOfActivation(place, layer);
    else if (layer.kind === 'Dropout') formulasOfDropout(place);
    else if (has(`${place}.normalized`) && has(`${place}.gamma`)) formulasOfNormalization(place, layer);
  });
  if (has('exp')) formulasOfSoftmax();
  formulasOfLoss();
  formulasOfTheLongWay();
  formulasOfUpdate();
}
