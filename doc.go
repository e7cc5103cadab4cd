// Package skein is the vocabulary of the mesh: names, identifiers and errors.
package skein
