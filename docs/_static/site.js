// The explorer on the start page plays by itself: forward through a residual block, and back. Whoever touches it takes over.
const STEPS = 23; // of the block with its first settings, the start among them

document.addEventListener("DOMContentLoaded", () => {
  const frame = document.querySelector("iframe.explorer");
  if (!frame) return;
  const address = frame.src.split("#")[0];
  let step = 0;
  const show = () => {
    const theme = { light: "light", dark: "dark" }[document.body.dataset.theme] ?? "auto";
    frame.src = `${address}#step=${step}&theme=${theme}`;
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const timer = still ? 0 : setInterval(() => ((step = (step + 1) % STEPS), show()), 1600);
  show();
  new MutationObserver(show).observe(document.body, { attributeFilter: ["data-theme"] });
  addEventListener("blur", () => document.activeElement === frame && clearInterval(timer)); // a click into the frame
});
