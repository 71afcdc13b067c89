/** `://user:password@`: from the first colon, unless a port follows, to the last @ of the word, since a password may hold one */
const IN_URL = /(:\/\/[^/@:\s"']*):(?!\d{1,5}(?:[/?#,]|$))[^\s"'<>]*@/g;
/** `?password=...` and its like, as PostgreSQL's URLs have it */
const IN_QUERY = /([?&](?:[a-z]*password|passwd|secret|token|access_token|api_?key)=)[^&\s"'<>]*/gi;

/** @returns the text with every password of the URLs in it replaced by `***` */
export function maskSecrets(text: string): string {
  return text.replace(IN_URL, '$1:***@').replace(IN_QUERY, '$1***');
}
