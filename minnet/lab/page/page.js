/*
What is above the sections, and in which order is all of it made?

The page shows what `Explanation.content()` of minnet/lab/explain.py recorded, and adds nothing to it. Where it writes
out a sum, it multiplies the numbers that stand there and holds the total against the entry that was recorded.
All text goes into the page as text, never as HTML: names of classes and features are strangers'.

Hooks for tests:
  #batch #forward #output #heart #backward #update #proof     the sections; a layer in them: [data-layer="0"]
  table[role=grid][data-array="2.dW"]    a map; [data-version="right"] is the right program's beside a bug's
  td[data-array][data-i][data-j]         an entry, from 0 (of a Jacobian within its sample); its text is the number with
                                         4 digits (none in large maps, .colours), its aria-label names it with 6
                                         (.outer, .share and .row, with data-j="sum", are made here of what was recorded)
  td.pointed .lit1 .lit2 .hidden; tr.chosen; figure.wrong     what is pointed at, what made it, blanks, the sample
  #step, [name=sample], #where, #theme   the bar; #hide [name=hide][value="dz"], #show-all
  #long-way, #long                       the switch in #heart and what it shows
  #panel, #sum, #check, #close           the written-out sum: .value, .written, .verdict, and [data-holds]
  #update [data-fact="predicted"]        what became of the loss: before, predicted, change, after
  #proof tr[data-array] [data-holds]     what the proof says of a gradient
  #bug, #first                           the mistake, and the link to where it first shows
Maps of more than 1000 entries are built when they come near the window: scroll to them first.
*/

function showHeader() {
  const title = `${data.title}: one step, every number`;
  document.title = find('#title').textContent = title;
  const network = [...layers.map(({ name }) => name), data.output].join(' → ');
  find('#network').textContent = [network, data.optimizer, data.dtype].filter(Boolean).join('; ');
  showPath();
  if (data.bug) showBug();
}

/** The way forward, under it the way back, and below that what it leaves in each layer. */
function showPath() {
  const known = (name) => (has(name) ? link(name) : '');
  const stop = (above, below, left = [], kind = '') => el('span', { class: `stop ${kind}` }, el('span', {}, ...above),
    el('span', {}, ...below), el('span', { class: 'more' }, ...left.flatMap((piece) => [piece, ' '])));
  const arrows = () => stop(['→'], ['←'], [], 'arrows');
  const stops = layers.map(({ parameters }, place) => {
    const gradients = learned(parameters).map((q) => known(`${place}.d${q}`));
    return stop([link(output(place))], [link(gradient(place))], gradients);
  });
  const heart = el('a', { href: '#heart', class: 'heart' }, 'y − t');
  find('#path').append(stop(['forward'], ['backward'], [], 'arrows'), stop([link('x')], [known('dx')]),
    ...stops.flatMap((each) => [arrows(), each]), arrows(), stop([link('y'), ' → ', link('loss')], [heart]));
}

function showBug() {
  const { name, meaning, sign: seen, caught_by: by, scaled } = data.bug;
  const box = find('#bug');
  box.hidden = false;
  box.append(el('strong', {}, `With a mistake on purpose, ${name}: `), `${meaning}. `,
    seen ? `What one sees of it: ${seen}. ` : '', `What catches it: ${by}. `,
    scaled ? 'To let it show, the features are 100 times as large, and the learning rate is 1/1000 of the usual. ' : '');
  const shown = names().filter((array) => linked.has(array) && !array.endsWith('.exact'));
  const found = steps.flatMap((step, s) => shown.filter((array) => differs(array, step)).map((array) => [s, array]));
  const compared = steps.some(({ right }) => Object.keys(right).length > 0);
  if (compared && !found.length) box.append('In the steps recorded here it changes nothing.');
  if (!found.length) return;
  const [s, array] = found[0];
  const words = `It first shows in ${symbol(array)}, step ${steps[s].number}`;
  const jump = el('a', { href: `#at-${array}`, id: 'first' }, words);
  jump.addEventListener('click', () => chooseStep(s));
  box.append(jump, '.');
}

// The bar: which step, which sample, what is hidden, light or dark

/** The loss of every step is the slider's track; the recorded steps stand at equal distances on it. */
function showCurve() {
  const numbers = steps.map(({ number: each }) => each);
  find('#track').hidden = numbers.length < 2;
  if (numbers.length < 2) return;
  const across = (step) => {
    const k = Math.max(0, Math.min(numbers.length - 2, numbers.findLastIndex((each) => each <= step)));
    return (k + (step - numbers[k]) / (numbers[k + 1] - numbers[k])) / (numbers.length - 1);
  };
  const all = data.losses.map((loss, step) => [step, number(loss)]);
  const losses = all.filter(([step, loss]) => step >= numbers[0] && step <= numbers.at(-1) && Number.isFinite(loss));
  const most = losses.reduce((sofar, [, loss]) => Math.max(sofar, loss), 0) || 1;
  const every = Math.ceil(losses.length / 800);
  const drawn = losses.filter(([step]) => step % every === 0 || numbers.includes(step));
  const place = ([step, loss]) => `${(1000 * across(step)).toFixed(1)},${(100 - 96 * loss / most).toFixed(1)}`;
  find('#curve polyline').setAttribute('points', drawn.map(place).join(' '));
  find('#ticks').append(...numbers.map((each) => el('span', {}, `${each}`)));
  live(() => {
    const { style } = find('#curve .marker');
    style.left = `${100 * state.step / (steps.length - 1)}%`;
    style.bottom = `${96 * Math.min(1, scalar('loss') / most) || 0}%`;
  });
}

function showBar() {
  showCurve();
  const [slider, select] = [find('#step'), find('[name=sample]')];
  slider.max = steps.length - 1;
  slider.addEventListener('input', () => chooseStep(+slider.value));
  select.addEventListener('change', () => chooseSample(+select.value));
  live(() => {
    const words = `step ${now().number}, loss ${text(scalar('loss'))}`;
    find('#where').textContent = words;
    slider.value = state.step;
    slider.setAttribute('aria-valuetext', words);
    select.replaceChildren(...range(N()).map((n) => el('option', { value: n }, describe(n))));
    select.value = state.sample;
  });
  showTheme();
  showHiding();
}

function showTheme() {
  const { dataset } = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const other = () => ((dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark');
  const name = () => { find('#theme').textContent = other() === 'dark' ? 'Dark' : 'Light'; };
  find('#theme').addEventListener('click', () => {
    dataset.theme = other();
    name();
  });
  system.addEventListener('change', name);
  name();
}

const HIDEABLE = ['z', 'a', 'y', 'losses', 'y-t', 'dz', 'dW', 'db', 'da', 'dx', 'dy', 'jacobian'];

function showHiding() {
  const present = new Set([...linked].map(quantity));
  const offered = new Set([...HIDEABLE.filter((q) => present.has(q)), ...state.hidden]);
  for (const name of offered) {
    const box = el('input', { type: 'checkbox', name: 'hide', value: name });
    box.checked = state.hidden.has(name);
    box.addEventListener('change', () => {
      if (box.checked) state.hidden.add(name);
      else state.hidden.delete(name);
      state.revealed.clear();
      redraw();
    });
    find('#hidden').append(el('label', {}, box, ' ', has(name) ? symbol(name) : SYMBOLS[name] ?? name));
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

/** Do again what depends on step, sample and blanks; large maps only if they are seen. */
function redraw() {
  for (const change of changes) change();
  for (const made of maps) {
    made.stale = made.large && !made.seen;
    if (!made.stale) draw(made);
  }
  if (state.pointed) point(state.pointed);
}

/** In a notebook's frame a link to a place on the page would lead out of it. */
function followLinks() {
  document.addEventListener('click', (event) => {
    const href = event.target.closest?.('a')?.getAttribute('href');
    if (!href?.startsWith('#') || location.protocol !== 'about:') return;
    event.preventDefault();
    document.getElementById(href.slice(1)).scrollIntoView();
  });
}

allFormulas();
for (const box of document.querySelectorAll('section > .equation')) fill(box, (q) => (q === 'dz' ? gradient(last) : q));
showBatch();
showForward();
showOutput();
showHeart();
showBackward();
showUpdate();
showProof();
showHeader();
showBar();
listen();
followLinks();
