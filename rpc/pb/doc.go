// Package pb is the generated code of flotilla.proto: messages and service
// stubs. Beside it is what both ends need: rows (rows.go), the header (route.go)
// and problem documents (problem.go). The .pb.go files are never edited;
// change the .proto file and run `make proto`, which is:
//
//	cd rpc/pb && protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative flotilla.proto
//
// with protoc from Debian's protobuf-compiler and the plugins
// google.golang.org/protobuf/cmd/protoc-gen-go and
// google.golang.org/grpc/cmd/protoc-gen-go-grpc in PATH.
package pb
