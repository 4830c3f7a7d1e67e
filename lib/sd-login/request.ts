/** What a login program says of a session that it wants made; an empty text where there is nothing to say. */
export interface LoginRequest {
  uid: number;
  service: string;
  type: string;
  class: string;
  desktop: string;
  seat: string;
  vtnr: number;
  tty: string;
  display: string;
  remote: boolean;
  remoteUser: string;
  remoteHost: string;
}
