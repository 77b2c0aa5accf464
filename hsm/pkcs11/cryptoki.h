// Cryptoki (PKCS#11 2.40), as p11-kit's header declares it: the only place that includes it, and
// no header outside this folder includes this one.
#ifndef KEKD_HSM_PKCS11_CRYPTOKI_H_
#define KEKD_HSM_PKCS11_CRYPTOKI_H_

#include <p11-kit/pkcs11.h>

// Macros that p11-kit 0.24 forgets to take back: they rename other people's variables.
#undef aad_len
#undef aad_ptr
#undef ck_rsa_pkcs_mgf_type_t
#undef ck_rsa_pkcs_oaep_source_type_t
#undef counter_bits
#undef data_params
#undef hash_alg
#undef iv_bits
#undef iv_len
#undef iv_ptr
#undef public_data
#undef public_data_len
#undef s_len
#undef shared_data
#undef shared_data_len
#undef source_data
#undef source_data_len
#undef string_data
#undef string_data_len
#undef tag_bits

// The layout of the standard's header, not of its text, which has no ulIvBits (errata 01).
static_assert(sizeof(void*) != 8 || sizeof(CK_GCM_PARAMS) == 48);

#endif  // KEKD_HSM_PKCS11_CRYPTOKI_H_
