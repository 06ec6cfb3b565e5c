# docker build -t latentscope . && docker run --rm -v "$PWD:/work" latentscope
FROM python:3.11-slim
WORKDIR /src
COPY . .
# torch from its own index, since that of PyPI brings NVIDIA libraries along.
RUN pip install --no-cache-dir -c constraints.txt --index-url https://download.pytorch.org/whl/cpu torch \
 && pip install --no-cache-dir -c constraints.txt ".[explore]"
WORKDIR /work
ENTRYPOINT ["latentscope"]
CMD ["demo"]
