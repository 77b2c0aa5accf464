"""What the end-to-end tests and the demo need around kekd: processes, etcd, kube-apiserver, kekd itself and readers."""
