// Package wire holds the forms that cross a wire or reach a disk: the frames between clients and nodes,
// what nodes tell each other, and what replicas store. They are never the types of another room's API:
// convert at the edge. docs in each .proto file say what a field means; versions.go holds the version log.
//
//go:generate protoc -I . --plugin=protoc-gen-go=../bin/protoc-gen-go --go_out=. --go_opt=paths=source_relative client.proto store.proto mesh.proto
//go:generate protoc -I . --plugin=protoc-gen-go-vtproto=../bin/protoc-gen-go-vtproto --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size client.proto store.proto
package wire
