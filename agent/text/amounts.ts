// Amounts of memory and processors as people write them in units. Pure; given to the rooms that tell of reserves.

const sizes = ["K", "M", "G", "T"] as const;

/** To a tenth of the largest size that fits: `1.5G`, `512M`, `6`. */
export function bytesInWords(bytes: number, round = Math.round): string {
  let size = "";
  let value = bytes;
  for (const next of sizes) {
    if (value < 1024) break;
    value /= 1024;
    size = next;
  }
  return `${round(value * 10) / 10}${size}`;
}

/** Thousandths of a processor in whole ones, as `CPUReserve=` has them: `1.5`. */
export function cpusInWords(milli: number, round = Math.round): string {
  return String(round(milli / 10) / 100);
}
