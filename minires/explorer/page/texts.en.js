// English. `explain` has a text for each kind of step; its facts are those of the step on the screen.

export const EN = {
  name: "English",
  title: "MiniRes: a gradient through a residual block",
  heading: "Through a residual block, and back",
  views: { block: "Block", network: "Network" },
  theme: { auto: "Automatic colours", light: "Light", dark: "Dark" },
  language: "Language",
  colours: "Colours",
  unknown: (what) => `The address has a setting that this page does not know, so it was left out: ${what}`,
  diagram: "The network: choose an operation to go to its step",
  controls: {
    first: "To the start",
    back: "Step back",
    play: "Play",
    pause: "Pause",
    next: "Step",
    last: "To the end",
  },
  phase: { forward: "forward", backward: "backward", none: "start" },
  step: (step, all) => `Step ${step} of ${all}`,
  keys: "Keys: ← → step, space plays; in a tensor, the arrow keys choose a cell.",
  switches: "Switches",
  shortcut: "Shortcut",
  shortcuts: { identity: "on (x itself)", none: "off", projection: "projection (1×1)" },
  norm: "Batch norm",
  pool: "Pooling",
  pools: { max: "max", avg: "average" },
  input: "Image x",
  inputs: { digit: "digit", random: "random", paint: "painted" },
  digit: "Digit",
  channels: "Channels",
  label: "Right class",
  depth: "Blocks",
  scale: "Scale of the first weights",
  seed: "Random seed",
  reset: "Reset",
  paint: "Paint with the pointer, or choose a cell and press a key from 0 to 9.",
  tabs: { explain: "Explain", check: "Check it", depth: "Depth", train: "Learn", break: "Break it" },
  node: (name) => `Operation ${name}`,
  identity: "shortcut: x",
  around: "through the shortcut",
  throughF: "through F",
  throughShortcut: "through the shortcut",
  together: "together",
  shares: "Share of the lengths",
  parts: "Lengths do not add: the two parts point in different directions. The percentages compare their lengths.",
  mistakeOn: "A mistake is switched on, under Break it. The text and the formulas are the right ones; the numbers are those of the broken engine.",
  arrives: "arrives at the sum",
  toF: "goes on to F",
  toShortcut: "goes on to the shortcut",
  undiminished: "Both ways get the whole gradient. It is not divided.",
  conserved: "The sum of the gradient is the same before and after.",
  notConserved: "The sum of the gradient has changed: a pooling must hand on as much as it gets.",
  gradientOf: (name) => `∂L/∂${name}`,
  sentTo: (name, from) => `∂L/∂${name}, sent by ${from}`,
  parameter: "parameter",
  source: (file, line) => `The code: ${file}, line ${line}`,
  column: (number, of, length) => `im2col: column ${number} of ${of}, ${length} numbers, times the kernel as a row`,
  window: "window × kernel",
  channel: (c) => `channel ${c}`,
  start:
    "Nothing has been computed yet. Press Step, and watch x go through the block. After the loss, the gradient comes back the same way.",
  explain: {
    forward: {
      input: (f) =>
        f.shortcut === "none"
          ? "This is the image x. One way leads on from it, through F: two convolutions, each with its batch norm. There is no shortcut."
          : "This is the image x. Two ways lead on from it: one through F, which is two convolutions with their batch norms, and one around F, the shortcut.",
      conv: () =>
        "The kernel lies over each 3×3 window in turn. Each output pixel is the sum of all products of the window and the kernel, over all channels.",
      projection: () =>
        "The shortcut has a 1×1 convolution of its own. It is what a ResNet uses where the number of channels or the size changes.",
      norm: () =>
        "Batch norm subtracts the mean of the channel, divides by its standard deviation, and then applies a weight and a bias. Every output depends on every pixel of its channel.",
      relu: (f) => `ReLU keeps positive numbers and sets the others to 0. Here ${f.zeros} of ${f.size} are 0.`,
      sum: () =>
        "The sum adds what the shortcut carries to F(x), pixel by pixel. F only has to learn the residual, the difference from x.",
      blocks: (f) =>
        `The other ${f.blocks} run here in one step. Each one is built like the first, with weights of its own.`,
      max: () => "Each 2×2 window hands on its largest pixel. The op remembers which of the four it was.",
      avg: () => "Each 2×2 window hands on the mean of its four pixels.",
      linear: () => "Each class gets a weighted sum of all pixels. These three numbers are the logits, scores that are not normalised yet.",
      loss: (f) =>
        `The softmax turns the logits into probabilities. The right class ${f.label} has ${f.probability}; the loss L, the cross-entropy, is minus its logarithm.`,
    },
    backward: {
      loss: () =>
        "The way back starts here: ∂L/∂L = 1. The gradient of each logit is its probability, minus 1 for the right class.",
      linear: () => "Each pixel receives the gradient of all three classes, each times its weight.",
      max: () => "Max pooling routes: each window's gradient goes to the one pixel that won. The other three get 0.",
      avg: () => "Average pooling splits: each of the four pixels gets a quarter of its window's gradient.",
      relu: () => "Where the output was 0, the gradient stops. Everywhere else it passes unchanged.",
      sum: (f) =>
        `Here the gradient goes both ways, undiminished: the derivative of a + b is 1 with respect to each. ${
          f.shortcut === "projection"
            ? "The shortcut's part goes on through the 1×1 convolution of the shortcut."
            : f.norm
              ? "The shortcut's part needs no weights and no batch norm."
              : "The shortcut's part needs no weights."
        }`,
      norm: () =>
        "The mean and the variance depend on every pixel, so two terms are subtracted. What remains has mean 0 and nothing along x̂: shifting or scaling the input would not change the output.",
      conv: () =>
        "Each output pixel hands its gradient back through the kernel. Where windows overlap, a pixel adds up what it receives. The weights get a gradient too.",
      projection: () =>
        "The gradient of the shortcut goes back through its 1×1 convolution. Its weights can make it smaller or larger.",
      blocks: (f) =>
        `The gradient comes back through ${f.blocks}. Its length was ${f.before} behind them, and is ${f.after} in front of them.`,
      join: (f) =>
        f.shortcut === "none"
          ? "There is no shortcut, so only one gradient arrives at x: all of it has passed through F."
          : "x was used twice, so two gradients meet here and are added: one came through F, one through the shortcut.",
    },
  },
  check: {
    intro: "Move one number by ε, both ways, and see by how much the loss changes. That must be its gradient.",
    cell: (name) => `Cell ${name}`,
    epsilon: "ε",
    numeric: "(L(+ε) − L(−ε))/2ε",
    analytic: "gradient by backward",
    error: "relative error",
    kink: "Between −ε and +ε a ReLU or a max pool changes its branch, so the difference says nothing about the slope at this point.",
    curve:
      "The error is V-shaped: on the right, ε is so large that the curve of L shows; on the left, so small that rounding does.",
    xLabel: "ε",
    yLabel: "relative error",
    all: "Check x and all parameters",
    passed: "agrees",
    failed: "WRONG",
    row: (f) => `${f.checked} checked${f.kinks ? `, ${f.kinks} at a kink` : ""}, largest error ${f.worst}`,
  },
  depthTab: {
    intro:
      "The length (norm) of the gradient at each block, for the same first weights, with and without shortcuts. The gradient flows from right to left. Change the number of blocks, the scale of the first weights, and batch norm.",
    few: "Set Blocks to 8 or more, under Switches, to see what depth does; then switch batch norm off.",
    xLabel: "block (0 is x)",
    yLabel: "‖gradient‖",
    none: "without shortcuts",
    identity: "with shortcuts",
    projection: "with projections",
    ratio: (label, first, last) => `${label}: ${last} at the last block, ${first} at x`,
    zero: (label) => `${label}: the gradient at x is exactly 0. No signal is left.`,
    vanishes: (plain, residual) =>
      `Without batch norm and without shortcuts, each layer multiplies the gradient, and here it shrinks: by x it is ${plain} times as long as at the last block. What goes along the shortcuts is multiplied by nothing, so it cannot vanish, and at each block F's part is added to it; together the gradient is ${residual} times as long.`,
    explodes: (plain, residual) =>
      `Without batch norm each layer multiplies the gradient, and here it grows: without shortcuts it is ${plain} times as long by x as at the last block, with shortcuts ${residual} times. Shortcuts keep a gradient from vanishing; they do not keep it from exploding.`,
    grows: (plain, residual) =>
      `With batch norm, the gradient of a plain network does not vanish, it grows: by x it is ${plain} times as long as at the last block. On the way back each batch norm divides by its channel's deviation σ, so the scale of the weights does not matter, and with a ReLU in between, each layer lengthens the gradient a little. With shortcuts it is ${residual} times as long.`,
  },
  train: {
    intro:
      "Gradient descent on this one image, with learning rate 0.05. Every picture and number on the page is then that of the trained weights, except the chart under Depth, which is of the first ones.",
    steps: "Learning steps",
    one: "One step more",
    xLabel: "step",
    yLabel: "loss",
    now: (f) => `Loss ${f.loss} after ${f.steps} steps. Probability of the right class: ${f.probability}.`,
  },
  breakTab: {
    intro:
      "Six mistakes of people who write an engine. Switch one on, go backward, and look for what has changed. Does a check notice?",
    none: "no mistake: the engine as it is",
    lab: (name) => `minires lab show ${name}`,
    verdict: {
      passed: "The gradient check passes. It does not notice.",
      failed: (names) => `The gradient check notices: ${names}.`,
    },
    none_checked: "Not a cell could be checked away from a kink.",
    changed: (f) => `‖∂L/∂x‖ is ${f.wrong}; without the mistake it is ${f.right}.`,
    sums: (f) => `At the pool, Σ gy = ${f.before} comes in and Σ gx = ${f.after} goes out.`,
    mistakes: {
      "overwrite-instead-of-accumulate": [
        "Where two gradients meet, the second overwrites the first",
        "Look at x, the last step back: the two parts arrive, and only one is left. The shortcut works forward and is lost backward.",
      ],
      "add-in-place": [
        "The sum is written into x itself",
        "x changes when the sum runs. The gradient of the first convolution's weights is then computed from an image that is no longer x.",
      ],
      "batch-variance-as-constant": [
        "Batch norm's backward takes the variance for a constant",
        "Look at the step back through batch norm: the numbers are those of the formula without its last term.",
      ],
      "col2im-overwrites-overlaps": [
        "Where windows overlap, one overwrites another",
        "Look at the step back through a convolution: a pixel that nine windows read keeps the gradient of one of them.",
      ],
      "gradient-to-all-ties": [
        "Max pooling sends the gradient to every tie",
        "Behind a ReLU some windows are 0 in all four pixels; switch the shortcut off and choose digit 4 to get such windows. Look at the sums at the pool. The ReLU in front of it stops what went to zeros, so x may see nothing of it.",
      ],
      "average-pool-forgets-to-divide": [
        "Average pooling forgets to divide",
        "Choose average pooling, and look at the sums at the pool: four times as much goes out as came in.",
      ],
    },
  },
  network: {
    loading: "Asking MiniRes …",
    failed: (why) => `That did not work: ${why}`,
    intro: (model, blocks) =>
      `${model}, ${blocks} blocks, computed by MiniRes. Choose an image; switch blocks off; watch the classes change.`,
    upload: "+ your own image",
    noImage: "There is no image yet: choose one of yours.",
    recorded:
      "This is a recording: a few images, and one block at a time switched off. `minires explore` shows the network live, with your own images.",
    overlays: { none: "image", gradient: "input gradient", cam: "Grad-CAM" },
    overlayNotes: {
      none: () => "The image as the network reads it.",
      gradient: (name) => `Where a small change of the pixel changes the logit of “${name}” most.`,
      cam: (name) => `Which places of the last block speak for “${name}”.`,
    },
    top: "The five likeliest classes",
    explained: (name, percent) =>
      `The gradients on this page are those of the logit of “${name}” (${percent} %). Choose a class to change that.`,
    withOff: (names) => `F is switched off in ${names}. The black mark shows the whole network's probability.`,
    whole: "The whole network is at work. Switch off a block below.",
    blocks: "The blocks",
    blocksNote:
      "Feature maps of the block's output. The bar divides the gradient of the block's input: through the shortcut, and through F.",
    allOn: "Switch all on",
    toggle: (name) => `F of ${name}`,
    on: "on",
    off: "off",
    maps: (name) => `Feature maps of ${name}`,
    identity: "x",
    shares: "Share of the lengths",
    gradient: "The gradient's length, block by block",
    gradientNote: "0 is the input of the first block. The gradient goes from right to left.",
    ratio: "How much F changes x",
    ratioNote:
      "The length of F(x), measured by that of x. A small ratio means that the block corrects x only a little.",
    block: "block",
    paths: "Paths through the network",
    pathCount: "share of the paths",
    pathGradient: "share of the gradient",
    pathLength: "blocks whose F is on the path",
    share: "share",
    pathsNote: (count) =>
      `Each block can be passed through F or around it, which makes ${count} paths. Most pass about half of the blocks.`,
  },
};
