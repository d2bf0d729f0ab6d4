# How to compile against and link each BLAS. Nothing outside src/cpu/blas.c sees the difference.
LIBDIR := /usr/lib/$(MULTIARCH)
INCDIR := /usr/include/$(MULTIARCH)

ifeq ($(BLAS),openblas)
BLAS_FLAGS := -I$(INCDIR)/openblas-openmp
BLAS_LIBS := -L$(LIBDIR)/openblas-openmp -Wl,-rpath,$(LIBDIR)/openblas-openmp -lopenblas
else ifeq ($(BLAS),blis)
BLAS_FLAGS := -DXATTN_BLAS_BLIS -isystem $(INCDIR)/blis-openmp
BLAS_LIBS := -L$(LIBDIR)/blis-openmp -Wl,-rpath,$(LIBDIR)/blis-openmp -lblis
else ifeq ($(BLAS),mkl)
# Debian's libmkl-dev (non-free), or MKLROOT.
ifeq ($(MKLROOT),)
MKL_LIB := $(LIBDIR)
MKL_INCLUDE := $(INCDIR)/../mkl
else
MKL_LIB := $(MKLROOT)/lib
MKL_INCLUDE := $(MKLROOT)/include
endif
BLAS_FLAGS := -DXATTN_BLAS_MKL -isystem $(MKL_INCLUDE)
BLAS_LIBS := -L$(MKL_LIB) -Wl,-rpath,$(MKL_LIB) -lmkl_intel_lp64 -lmkl_gnu_thread -lmkl_core
else
$(error BLAS is "$(BLAS)"; it must be openblas, blis or mkl)
endif
