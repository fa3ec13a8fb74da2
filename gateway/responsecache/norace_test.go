//go:build !race

package responsecache

const raceDetector = false
