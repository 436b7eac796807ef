// Command migrate reads the .env of the legacy proxy and prints what becomes of
// it: the Secret, a WarmPool of no replicas, and where each variable went.
//
//	go run ./hack/migrate --env=<path of the old .env> secret | kubectl create -f -
//	go run ./hack/migrate --env=<path of the old .env> --ceiling=1.50 pool > pool.yaml
//	go run ./hack/migrate --env=<path of the old .env> report
//
// It talks to nobody and writes no file. Only "secret" prints values of secrets.
// It imports the API types and internal/dotenv, and nothing else of this module.
package main
