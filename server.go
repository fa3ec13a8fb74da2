// Stoa serves articles over GraphQL. `stoa --help` lists its commands.
package main

import (
	"os"

	"stoa/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)) }
