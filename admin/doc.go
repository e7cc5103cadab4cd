// Package admin is where operators come in: one HTTP endpoint of a node, meant for a local address.
//
// It promises: nothing but /healthz, /readyz and /livez is answered without the node's admin token, which is
// compared in constant time; every answer, errors included, is JSON (but /metrics, which the given handler
// writes); an error carries the numbered code of package skein; requests, connections, bodies and answers are
// bounded and every request ends within RequestTimeout.
//
// It does not promise TLS: keep the address local, or put a proxy before it. It decides nothing: what it shows
// and does comes through the interfaces Mesh, Group, DeadLetters, Keeping and Health, which the node implements. It stores nothing.
package admin
