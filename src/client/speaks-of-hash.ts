/**
 * Whether a service's text about a failure says that bytes did not match their hash. Services tell the reason in words
 * only (wire.md); the originals' are "File hash does not match provided hash".
 */
export function speaksOfHash(text: string): boolean {
  return (
    /\b(?:hash|hashsum|checksum|md5|sha[0-9]{1,3})\b/i.test(text) &&
    /\b(?:not match|mismatch|should|says)\b/i.test(text)
  );
}
