/* Reading what the server sends, and handling it. Internal to imap/. */
#ifndef IMAP_CONN_RECEIVE_H
#define IMAP_CONN_RECEIVE_H

struct conn;

/* Reads until the socket is empty or enough has come for one turn, and handles the responses that
 * are whole. 0, or -errno: the connection is lost. */
int receive_some(struct conn *c);

#endif
