//go:build tools

// Package kubernetes pins the Kubernetes programs that the tests and the demo run.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
