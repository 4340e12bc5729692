// Where the network view's numbers come from: MiniRes, which serves this page, or a recording beside it.

const HEADERS = { "X-MiniRes": "1" };

async function answer(response) {
  if (response.ok) return response.json();
  const text = (await response.text()).trim();
  // The server below ours refuses a body that is too large in several lines, before ours sees it.
  const isCut = response.status === 413 && text.includes("\n");
  throw new Error(isCut ? "an image may have 16 MiB, this one has more" : text || response.statusText);
}

// Every click may be asked for, and images may be added.
export function served() {
  const get = async (path, query) =>
    answer(await fetch(`/api/${path}?${new URLSearchParams(query)}`, { headers: HEADERS }));
  return {
    canUpload: true,
    network: () => get("network", {}),
    explore: (image, off, target) => get("explore", { image, off: off.join("."), target }),
    paths: (image, target) => get("paths", { image, target }),
    upload: async (file) => answer(await fetch("/api/image", { method: "POST", headers: HEADERS, body: file })),
  };
}

// A static copy: a few images, each whole and with one block switched off.
export function recorded() {
  let loading = null;
  const data = () => {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "network-data.js";
      script.onload = () => resolve(globalThis.MINIRES_NETWORK);
      script.onerror = () => reject(new Error("network-data.js"));
      document.head.append(script);
    });
    return loading;
  };
  return {
    canUpload: false,
    network: async () => (await data()).network,
    explore: async (image, off) => {
      const { answers } = await data();
      const whole = answers[`${image}/`];
      const found = answers[`${image}/${off.join(".")}`] ?? whole;
      // The feature maps were recorded once, for the whole network.
      return {
        ...found,
        blocks: found.blocks.map((block, k) => ({ ...block, maps: block.maps ?? whole.blocks[k].maps })),
      };
    },
    paths: async (image) => (await data()).paths[image],
  };
}
