package graph

//go:generate go run ./generate

// A client of the API that tests run.
//go:generate go -C ../tests/clients/go tool genqlient
