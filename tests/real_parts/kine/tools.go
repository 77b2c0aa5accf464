//go:build tools

// Package kine pins the kine that the tests run.
package kine

import _ "github.com/k3s-io/kine"
