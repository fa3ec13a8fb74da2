//go:build ignore

// This program writes common.txt from the npm package with the word lists of zxcvbn-ts. The
// package has them in the order of frequency:
//
//	npm pack @zxcvbn-ts/language-common@4.1.3
//	go run common_write.go zxcvbn-ts-language-common-4.1.3.tgz
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	source  = "@zxcvbn-ts/language-common 4.1.3, package/src/passwords.json (https://www.npmjs.com/package/@zxcvbn-ts/language-common)"
	sum     = "g2bg4skmlJG9aJqC/nWziZzgYpSe/f3rKeGobrkdFiOrfZVFqqzUgC6BUQWuX54Sua9j0Jxxt+1bf4f/Mal1Kg==" // sha512, from the registry
	length  = 8                                                                                          // in characters: shorter ones are refused for their length
	howMany = 10_000
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run common_write.go PACKAGE.tgz")
	}
	packed, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if got := sha512.Sum512(packed); base64.StdEncoding.EncodeToString(got[:]) != sum {
		log.Fatalf("%s isn't the package that this program was written for", os.Args[1])
	}
	var all []string
	if err := json.Unmarshal(file(packed, "package/src/passwords.json"), &all); err != nil {
		log.Fatal(err)
	}
	var kept []string
	for _, p := range all {
		if p = strings.ToLower(p); utf8.RuneCountInString(p) >= length && !strings.ContainsAny(p, "\r\n") {
			kept = append(kept, p)
		}
	}
	kept = kept[:min(len(kept), howMany)]
	slices.Sort(kept)
	kept = slices.Compact(kept)
	var out bytes.Buffer
	fmt.Fprintf(&out, "# The %d most common passwords of at least %d characters out of\n# %s,\n# written by common_write.go. Its licence:\n#\n", len(kept), length, source)
	for line := range strings.Lines(strings.TrimSpace(string(file(packed, "package/LICENSE.txt")))) {
		fmt.Fprintln(&out, strings.TrimRight("# "+strings.TrimSpace(line), " "))
	}
	fmt.Fprintf(&out, "\n%s\n", strings.Join(kept, "\n"))
	if err := os.WriteFile("common.txt", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func file(packed []byte, name string) []byte {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		log.Fatal(err)
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			log.Fatalf("the package has no %s", name)
		}
		if err != nil {
			log.Fatal(err)
		}
		if header.Name == name {
			content, err := io.ReadAll(files)
			if err != nil {
				log.Fatal(err)
			}
			return content
		}
	}
}
