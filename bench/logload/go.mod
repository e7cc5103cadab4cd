module github.com/skein-mesh/skein/bench/logload

go 1.26.0
