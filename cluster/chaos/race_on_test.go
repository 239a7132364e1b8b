//go:build race

package chaos

// raceDetector says whether these tests run with the race detector; the binary is built with it then too.
const raceDetector = true
