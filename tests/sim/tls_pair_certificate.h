/* A certificate for a.test and its key, of no value: made for these tests, valid for a
 * hundred years. */
#ifndef RINGWAY_SIM_TLS_PAIR_CERTIFICATE_H
#define RINGWAY_SIM_TLS_PAIR_CERTIFICATE_H

static const char certificate_pem[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBizCCATKgAwIBAgIUPPY+0tv1AFCrM+63h5+B2+mpS24wCgYIKoZIzj0EAwIw\n"
	"ETEPMA0GA1UEAwwGYS50ZXN0MCAXDTI2MTEyMTA3NTA1NFoYDzIxMjYxMDI4MDc1\n"
	"MDU0WjARMQ8wDQYDVQQDDAZhLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
	"AAS/OLrAVZ91c69/XN9zcmIkKl+ODYQtcmgAIImfSCojtBVnYKuD1a4GWwnig1DS\n"
	"6/B1PluJX+s0JwaHoJ1rLRuqo2YwZDAdBgNVHQ4EFgQUT39opt2CRZUDWmQ4OMxB\n"
	"piLH5EAwHwYDVR0jBBgwFoAUT39opt2CRZUDWmQ4OMxBpiLH5EAwDwYDVR0TAQH/\n"
	"BAUwAwEB/zARBgNVHREECjAIggZhLnRlc3QwCgYIKoZIzj0EAwIDRwAwRAIgXx3r\n"
	"eaa5Xg91fJW6SBcriE2vzYj+NFUShdNEbcO3JJ4CICWTeW+Me4bffGg0rCdPUnGm\n"
	"4CLXd+uZaaPH1pLPDoaW\n"
	"-----END CERTIFICATE-----\n";

static const char key_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkiBDsN5IVAz8ehS9\n"
	"Q5l69v5NyEA4JkxmujwrFLp0qA6hRANCAAS/OLrAVZ91c69/XN9zcmIkKl+ODYQt\n"
	"cmgAIImfSCojtBVnYKuD1a4GWwnig1DS6/B1PluJX+s0JwaHoJ1rLRuq\n"
	"-----END PRIVATE KEY-----\n";

#endif
