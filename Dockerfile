# docker build -t latentscope . && docker run --rm -v "$PWD:/work" latentscope
FROM python:3.11-slim
# torch brings NVIDIA libraries along; the address of its CPU index leaves them out.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[explore]"
WORKDIR /work
ENTRYPOINT ["latentscope"]
CMD ["demo"]
