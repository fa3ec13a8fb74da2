package main

// Counting of work by coverage counters. Entry point: counted.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/coverage"
)

// counted returns the number of basic blocks that do executes in the packages built with -cover. It
// ends the program if there are none.
func counted(do func() error) (uint64, error) {
	var b bytes.Buffer
	if err := coverage.ClearCounters(); err != nil {
		fail(err)
	}
	err := do()
	if err := coverage.WriteCounters(&b); err != nil {
		fail(err)
	}
	return sum(b.Bytes()), err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "hostile counts by coverage counters: build it as .ci/run does:", err)
	os.Exit(2)
}

// The lengths of the parts of a file of counters, as internal/coverage/defs.go of Go 1.26 has them.
const (
	fileHeader    = 32
	segmentHeader = 16
)

// sum adds up the counters in a file of them: of each function the number of its counters, its
// package, its number, and the counters, all in LEB128.
func sum(file []byte) (total uint64) {
	segment := file[fileHeader:]
	functions := binary.LittleEndian.Uint64(segment)
	tables := int(binary.LittleEndian.Uint32(segment[8:]) + binary.LittleEndian.Uint32(segment[12:]))
	rest := segment[segmentHeader+tables:]
	next := func() uint64 {
		v, n := binary.Uvarint(rest)
		rest = rest[n:]
		return v
	}
	for range functions {
		counters := next()
		next()
		next()
		for range counters {
			total += next()
		}
	}
	return total
}
