// Package nodetest runs many real nodes in one process, on a simulated network, inside a testing/synctest bubble:
// raft, gossip, QUIC and the clients run in virtual time, so that a minute of failures takes a second. It opens no
// real socket, since one blocked in it would stop the virtual clock; files are real.
package nodetest
