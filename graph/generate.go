package graph

//go:generate go tool gqlgen generate

// A client of the API that tests run.
//go:generate go -C ../tests/clients/go tool genqlient
