// Package config is the one place that maps a file, the environment and flags to node.Config.
//
// Every key has the same name everywhere. The key listen.client is client below listen in the YAML file,
// SKEIN_LISTEN_CLIENT in the environment and --listen-client as a flag. In the environment and in flags a list is
// written a,b,c and a table name=value,name=value.
//
// Precedence: a flag, else the environment, else the file, else the default. An empty value counts as not set, in all
// of them. Lists and tables are replaced, never merged.
//
// A path in the file is relative to the file's directory; a path in the environment or a flag is relative to the
// working directory. Durations carry a unit (10s, 500ms), addresses are ip:port.
//
// Load promises all faults at once, each with the file and line, the variable or the flag it comes from, and what
// to do. It refuses a key that it does not know. It reads no file but the one it is given, opens no socket and looks
// up no name: whether a port is free and a key file readable is found out by the node.
package config
