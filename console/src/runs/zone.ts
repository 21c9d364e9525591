/** Time zone of whoever looks: runs are not of one index. */

export function zoneHere(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
