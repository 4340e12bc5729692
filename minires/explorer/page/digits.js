// Ten digits of 6×6 pixels, drawn by hand; a pixel is 0 (white) to 9 (black).

export const DIGITS = [
  "037730 382283 700007 700007 382283 037730",
  "001900 028900 050900 000900 000900 028982",
  "058850 700018 000037 004720 047100 799999",
  "078850 000018 004780 000018 000028 078850",
  "000290 003890 037090 379999 000090 000090",
  "999990 900000 978850 000018 700028 058850",
  "004870 047000 978850 900018 700028 058850",
  "999999 000028 000270 002700 007200 027000",
  "058850 700018 058850 700018 700018 058850",
  "058850 800018 700029 058879 000740 078400",
].map((rows) => rows.replaceAll(" ", ""));

export const SIDE = 6;

// The pixels of all channels as one string of digits: the digit, its negative, its mirror image, that one's negative.
export function pixelsOfDigit(digit, channels) {
  const image = DIGITS[digit];
  const mirrored = [...Array(SIDE).keys()]
    .map((row) => [...image.slice(row * SIDE, (row + 1) * SIDE)].reverse().join(""))
    .join("");
  const negative = (pixels) => [...pixels].map((pixel) => 9 - Number(pixel)).join("");
  return [image, negative(image), mirrored, negative(mirrored)].slice(0, channels).join("");
}
